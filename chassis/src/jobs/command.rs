//! `jobs`: lists the jobs of a queue, repeats and removes them.

use std::fmt::Write;

use clap::Subcommand;
use serde_json::json;

use super::{ListedJob, Queue};
use crate::{Exit, Failure, Problem, print};

/// Commands for the jobs of a queue. If the queue is in a file, the server must not run.
#[derive(Subcommand)]
pub enum JobsCommand {
    /// List the oldest jobs, including dead ones
    List {
        /// The most jobs to list
        #[arg(long, default_value_t = 100)]
        most: usize,
        /// Only dead jobs
        #[arg(long)]
        dead: bool,
    },
    /// Print a job with its data, as JSON
    Show {
        /// Its id, as `list` prints it
        id: String,
    },
    /// Queue a dead job again, as if it were new
    Retry {
        /// Its id, as `list` prints it
        id: String,
    },
    /// Remove a job that is not done
    Drop {
        /// Its id, as `list` prints it
        id: String,
    },
}

impl JobsCommand {
    /// Runs the command.
    pub async fn run(&self, queue: &dyn Queue) -> Result<Exit, Failure> {
        let (done, id) = match self {
            Self::List { most, dead } => {
                let mut text =
                    format!("{:<20} {:<7} {:>8} {:>10}  reason\n", "id", "state", "attempts", "age");
                for listed in queue.list(*most, *dead).await.map_err(|problem| failure(&problem))? {
                    let reason = listed.last_error.as_deref().unwrap_or_default();
                    // Writing to a text cannot fail.
                    let _ = writeln!(
                        text,
                        "{:<20} {:<7} {:>8} {:>8.0} s  {reason}",
                        listed.job.id,
                        state(&listed),
                        listed.job.attempts,
                        listed.age_seconds
                    );
                }
                return Ok(print(&text));
            }
            Self::Show { id } => match queue.find(id).await.map_err(|problem| failure(&problem))? {
                Some(listed) => return Ok(print(&shown(&listed))),
                None => (false, id),
            },
            Self::Retry { id } => (queue.retry(id).await.map_err(|problem| failure(&problem))?, id),
            Self::Drop { id } => (queue.discard(id).await.map_err(|problem| failure(&problem))?, id),
        };
        if done {
            return Ok(Exit::Success);
        }
        let kind = if matches!(self, Self::Retry { .. }) { "dead job" } else { "job" };
        Err(Failure::new(Exit::NoInput, format!("there is no {kind} {id}; see `jobs list`")))
    }
}

fn state(listed: &ListedJob) -> &'static str {
    if listed.is_dead { "dead" } else { "waiting" }
}

fn shown(listed: &ListedJob) -> String {
    let job = json!({
        "id": listed.job.id,
        "state": state(listed),
        "attempts": listed.job.attempts,
        "age_seconds": listed.age_seconds,
        "reason": listed.last_error,
        "data": listed.job.payload,
    });
    format!("{job:#}\n")
}

fn failure(problem: &Problem) -> Failure {
    let what = problem.reason().unwrap_or_default().into_owned();
    match problem.cause_chain() {
        Some(cause) => Failure::caused_by(Exit::Unavailable, what, cause),
        None => Failure::new(Exit::Unavailable, what),
    }
}
