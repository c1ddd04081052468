//! `rates hook`.

use chassis::{Exit, Failure, exit::OrFail, postgres, print};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};
use sqlx::{Connection, PgConnection};

use super::table;
use crate::{
    hooks::{
        Event, Message, Secret, Sender, check_url,
        sql::{self, HookSummary},
    },
    settings::{HookSettings, Settings},
};

/// What to do with hooks.
#[derive(Subcommand)]
pub enum Command {
    /// Add a hook and print the secret that its messages are signed with; it cannot be shown again
    Add(Add),
    /// List all hooks, with what waits for them and why it waits
    List,
    /// Send a message of the type test, once, and say what the receiver answers
    Test {
        /// The number of the hook
        id: i64,
    },
    /// Enable a hook that was disabled; it gets messages about what happens from now on
    Enable {
        /// The number of the hook
        id: i64,
    },
    /// Remove a hook and what waits for it
    Remove {
        /// The number of the hook
        id: i64,
    },
}

/// A hook to add.
#[derive(Args)]
pub struct Add {
    /// Where messages are sent: https://...
    url: String,
    /// What to send messages about, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Event::value_variants().to_vec())]
    events: Vec<Event>,
    /// Only of the batches of this supplier; of all if not given
    #[arg(long)]
    supplier: Option<String>,
}

pub(super) async fn hook(settings: &Settings, command: &Command) -> Result<Exit, Failure> {
    let mut connection = postgres::connect(&settings.database).await?;
    match command {
        Command::Add(hook) => add(&mut connection, &settings.hooks, hook).await,
        Command::List => Ok(print(&table(&sql::list(&mut connection).await?))),
        Command::Test { id } => test(&mut connection, &settings.hooks, *id).await,
        Command::Enable { id } => {
            if sql::enable(&mut connection, *id).await? {
                return Ok(Exit::Success);
            }
            Err(Failure::new(Exit::Data, format!("hook {id} is not disabled; `rates hook list` shows all")))
        }
        Command::Remove { id } => {
            let mut transaction = connection.begin().await?;
            let is_removed = sql::remove(&mut transaction, *id).await?;
            transaction.commit().await?;
            if is_removed { Ok(Exit::Success) } else { Err(no_hook(*id)) }
        }
    }
}

async fn add(connection: &mut PgConnection, settings: &HookSettings, hook: &Add) -> Result<Exit, Failure> {
    let url = check_url(&hook.url, settings).map_err(|reason| Failure::new(Exit::Usage, reason))?;
    let secret =
        Secret::random().or_fail(Exit::Unavailable, || "the operating system gives no random numbers")?;
    let mut events: Vec<String> = hook.events.iter().map(|event| event.name().to_owned()).collect();
    events.sort();
    events.dedup();
    let supplier = hook.supplier.as_deref();
    let Some(id) = sql::add(connection, supplier, url.as_str(), &events, &secret).await? else {
        let supplier = supplier.unwrap_or_default();
        return Err(Failure::new(
            Exit::Data,
            format!("there is no supplier {supplier}; `rates key list` shows all"),
        ));
    };
    eprintln!("Hook {id} is added. `rates hook test {id}` sends a message. Its secret:");
    Ok(print(&format!("{}\n", secret.shown())))
}

async fn test(connection: &mut PgConnection, settings: &HookSettings, id: i64) -> Result<Exit, Failure> {
    let receiver = sql::find_receiver(connection, id).await?.ok_or_else(|| no_hook(id))?;
    let message = Message::new(id, "test", &serde_json::json!({}));
    let sent = Sender::new(settings).send(&receiver.url, &receiver.secret(), &message).await;
    sent.map_err(|error| Failure::new(Exit::Unavailable, format!("hook {id}: {error}")))?;
    Ok(print(&format!("Hook {id} has received the message {}.\n", message.id)))
}

fn no_hook(id: i64) -> Failure {
    Failure::new(Exit::Data, format!("there is no hook {id}, or it is disabled; `rates hook list` shows all"))
}

/// The hooks as a table for people.
fn table(hooks: &[HookSummary]) -> String {
    let time = |time: Option<DateTime<Utc>>| {
        time.map_or_else(|| "-".to_owned(), |time| time.format("%Y-%m-%dT%H:%MZ").to_string())
    };
    let header = ["NUMBER", "SUPPLIER", "EVENTS", "URL", "CREATED", "DELIVERED", "WAITING", "STATE"];
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(hooks.iter().map(|hook| {
        let state = match (&hook.disabled_reason, &hook.last_error) {
            (Some(reason), _) => format!("disabled: {reason}"),
            (None, Some(error)) => format!("failing: {error}"),
            (None, None) => "active".to_owned(),
        };
        [
            hook.id.to_string(),
            hook.supplier.clone().unwrap_or_else(|| "all".to_owned()),
            hook.events.join(","),
            hook.url.clone(),
            time(Some(hook.created_at)),
            time(hook.delivered_at),
            hook.waiting.to_string(),
            state,
        ]
    }));
    table::format(&rows)
}
