//! A whole service: what a newcomer has to write.

use std::{process::ExitCode, time::Duration};

use axum::{Router, extract::State, routing::get};
use chassis::{
    Configuration, Context, Exit, Failure, NoCommand, Parts, Service,
    health::Readiness,
    settings::{Fault, Flat, Settings, ShellSettings},
};
use serde::Deserialize;
use utoipa::OpenApi;

struct Hello;

/// Its settings, beside those that every service has.
#[derive(Clone, Deserialize)]
struct HelloSettings {
    greeting: Greeting,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Greeting {
    name: String,
}

impl Settings for HelloSettings {
    const DEFAULTS: &'static [&'static str] =
        &["[greeting]\n# [HELLO_NAME] Who is greeted.\nname = 'world'\n"];
    const FLAT: &'static [&'static [Flat]] = &[&[Flat::new("HELLO_NAME", "greeting.name")]];

    fn faults(&self, _: &ShellSettings) -> Vec<Fault> {
        let is_empty = self.greeting.name.is_empty();
        is_empty.then(|| ("greeting.name", "must not be empty".to_owned())).into_iter().collect()
    }
}

/// Greets.
#[utoipa::path(get, path = "/", responses((status = 200, body = String)))]
async fn greet(State(name): State<String>) -> String {
    format!("Hello {name}!")
}

#[derive(OpenApi)]
#[openapi(info(title = "Hello"), paths(greet))]
struct Api;

impl Service for Hello {
    const NAME: &'static str = "hello";
    const ABOUT: &'static str = "Greets";
    type Settings = HelloSettings;
    type Command = NoCommand;

    fn openapi() -> utoipa::openapi::OpenApi {
        Api::openapi()
    }

    async fn build(context: Context<'_, Self>) -> Result<Parts, Failure> {
        let name = context.settings.greeting.name.clone();
        let routes = Router::new().route("/", get(greet)).with_state(name);
        Ok(Parts::new(routes, Readiness::new(Duration::from_secs(1), async || Ok(()))))
    }

    async fn run(command: NoCommand, _: &Configuration<Self>) -> Result<Exit, Failure> {
        match command {}
    }
}

fn main() -> ExitCode {
    chassis::main::<Hello>()
}

#[cfg(test)]
mod tests {
    use chassis::testing::Client;

    use super::*;

    #[tokio::test]
    async fn it_greets_who_is_configured() {
        let client = Client::start::<Hello>(&[("HELLO_NAME", "you")]).await;
        assert_eq!(client.get("/").await.expect(200).text(), "Hello you!");
    }
}
