//! The service as the chassis runs it: `serve` and `receive` answer requests, `send` runs the sender without an API.

use std::{fs, time::Duration};

use axum::Router;
use chassis::{Configuration, Context, Exit, Failure, Parts, Role, Service, health::Readiness};
use clap::Subcommand;
use prometheus_client::registry::Registry;
use utoipa::OpenApi;

use crate::{
    receiver::{self, Api},
    sender::Sender,
    settings::Settings,
};

/// Sends files, and receives them.
pub struct Transfer;

/// The commands of `transfer`, in addition to those of every service.
#[derive(Subcommand)]
pub enum Command {
    /// Receive files into the output folder (what `serve` does as well)
    Receive,
    /// Send the JSON files of the input folder until SIGTERM or Ctrl-C
    Send {
        /// Send the files that are there and exit: 65 if one was refused or set aside, 69 if the receiver cannot be
        /// reached
        #[arg(long)]
        once: bool,
    },
}

impl Service for Transfer {
    const NAME: &'static str = "transfer";
    const ABOUT: &'static str = "Drop JSON files in a folder; they arrive as XML, encrypted on the way\n\n`transfer receive` \
                                 listens on SERVER_PORT and stores files in OUTPUT_DIR; `transfer send` sends those of \
                                 INPUT_DIR to RECEIVER_ADDRESS.";
    type Settings = Settings;
    type Command = Command;

    fn openapi() -> utoipa::openapi::OpenApi {
        Api::openapi()
    }

    async fn build(context: Context<'_, Self>) -> Result<Parts, Failure> {
        let settings = context.settings;
        if context.role == Role::Serve {
            return receiver::build(&settings.receive);
        }
        let sender = Sender::new(settings, context.registry)?;
        let folder = settings.send.input_dir.clone();
        let readiness = Readiness::blocking(Duration::from_secs(2), move || {
            let read = fs::read_dir(&folder).map(drop);
            read.map_err(|error| format!("the input folder cannot be read: {}", error.kind()))
        });
        Ok(Parts::new(Router::new(), readiness).task("sender", sender.run(context.stop.clone())))
    }

    async fn run(command: Command, configuration: &Configuration<Self>) -> Result<Exit, Failure> {
        match command {
            Command::Receive => chassis::serve(configuration).await,
            Command::Send { once: false } => chassis::work(configuration).await,
            Command::Send { once: true } => {
                let settings = configuration.load()?.service;
                Sender::new(&settings, &mut Registry::default())?.once().await
            }
        }
    }
}
