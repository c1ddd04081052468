//! A service that misbehaves when it is told to.

use std::{convert::Infallible, process::ExitCode, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    routing::get,
};
use chassis::{
    Configuration, Context, Exit, Failure, Parts, Role, Service,
    health::Readiness,
    settings::{Fault, Flat, Settings, ShellSettings},
};
use serde::Deserialize;
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder};

struct Sample;

/// In bytes: more than the buffers of a connection take.
const LARGE: usize = 16 << 20;

#[derive(Clone, Deserialize)]
struct SampleSettings {
    task: TaskSettings,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskSettings {
    end: String,
}

impl Settings for SampleSettings {
    const DEFAULTS: &'static [&'static str] = &[
        "[server]\nport = 3001\n[task]\n# How the task ends: stop, early, panic or late; with `open`, what should be closed at the end hangs.\nend = 'stop'\n",
    ];
    const FLAT: &'static [&'static [Flat]] = &[&[Flat::new("SAMPLE_TASK_END", "task.end")]];

    fn faults(&self, _: &ShellSettings) -> Vec<Fault> {
        Vec::new()
    }
}

#[derive(clap::Subcommand)]
enum Command {
    /// Run the task without the API
    Work,
    /// Say a word
    Say {
        /// The word
        word: String,
    },
}

impl Service for Sample {
    const NAME: &'static str = "sample";
    const ABOUT: &'static str = "Misbehaves\n\nFor tests.";
    type Settings = SampleSettings;
    type Command = Command;

    fn openapi() -> OpenApi {
        OpenApiBuilder::new().info(InfoBuilder::new().title("Sample")).build()
    }

    async fn build(context: Context<'_, Self>) -> Result<Parts, Failure> {
        let (end, stop) = (context.settings.task.end.clone(), context.stop.clone());
        let role = context.role;
        let task = async move {
            match end.as_str() {
                "early" => return,
                "panic" => panic!("the task panicked"),
                "late" => stop.forced().await,
                _ => stop.begun().await,
            }
            tracing::info!(serves = role == Role::Serve, "the task has ended");
        };
        let hangs = context.settings.task.end == "open";
        let large = Bytes::from(vec![b'x'; LARGE]);
        let many = large.clone();
        let pieces = || futures_util::stream::pending::<Result<Bytes, Infallible>>();
        let routes = Router::new()
            .route("/", get(async || "hello"))
            .route("/large", get(async move || large.clone()))
            .route(
                "/large-stream",
                get(async move || {
                    let pieces =
                        futures_util::stream::iter((0..10).map(move |_| Ok::<_, Infallible>(many.clone())));
                    Body::from_stream(pieces)
                }),
            )
            .route("/hanging", get(std::future::pending::<()>))
            .route("/hanging-body", get(async move || Body::from_stream(pieces())));
        Ok(Parts::new(routes, Readiness::new(Duration::from_secs(1), async || Ok(())))
            .task("task", task)
            .closing(async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                tracing::info!("closed");
            }))
    }

    async fn run(command: Command, configuration: &Configuration<Self>) -> Result<Exit, Failure> {
        match command {
            Command::Work => chassis::work(configuration).await,
            Command::Say { word } if word == "no" => Err(Failure::new(Exit::Data, "\"no\" is no word")),
            Command::Say { word } => {
                if word == "hanging" {
                    tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_mins(1)));
                }
                Ok(chassis::print(&format!("{word}\n")))
            }
        }
    }
}

fn main() -> ExitCode {
    chassis::main::<Sample>()
}
