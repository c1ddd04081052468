//! The receiver: takes tokens, stores what is in them.

use std::{
    error::Error,
    io::{self, BufWriter, Write},
    sync::Arc,
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{
        Multipart, State,
        multipart::{Field, MultipartError, MultipartRejection},
    },
    response::{IntoResponse, Response},
    routing::{get, post},
};
use chassis::{
    Exit, Failure, Parts, Problem, edge::EdgeOptions, exit::OrFail, extract::Path, health::Readiness,
    problem::FieldError,
};
use http::StatusCode;
use serde::Serialize;
use tempfile::SpooledTempFile;
use utoipa::{OpenApi, ToSchema};

use crate::{
    fernet::{self, Key},
    keys,
    settings::ReceiveSettings,
    store::{Folder, fault_of_name},
};

/// What describes the API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Transfer",
        description = "Receives encrypted files. Every error has a text `msg` and its `status_code`."
    ),
    paths(health, upload)
)]
pub(crate) struct Api;

#[derive(Clone)]
struct App {
    /// Newest first.
    keys: Arc<[Key]>,
    folder: Folder,
}

/// Every answer but errors.
#[derive(Serialize, ToSchema)]
struct Answer {
    msg: String,
    status_code: u16,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes the body")]
struct Upload {
    /// A Fernet token of the file
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// Builds the receiver.
pub(crate) fn build(settings: &ReceiveSettings) -> Result<Parts, Failure> {
    let keys = keys::read_or_generate(settings)?;
    let folder = Folder::open(&settings.output_dir)
        .or_fail(Exit::Unavailable, || format!("cannot use {}", settings.output_dir.display()))?;
    let checked = folder.clone();
    let readiness = Readiness::blocking(Duration::from_secs(2), move || {
        checked.check().map_err(|error| {
            tracing::warn!(error = &error as &dyn Error, "cannot write to the output folder");
            "cannot write to the output folder".to_owned()
        })
    });
    let routes = Router::new()
        .route("/", get(health))
        // A name may have separators here, so that the handler can say what is wrong with it.
        .route("/upload/{*filename}", post(upload))
        .with_state(App { keys: keys.into(), folder });
    let edge = EdgeOptions::default().repeat_detail_as("msg").repeat_status_as("status_code");
    Ok(Parts::new(routes, readiness).edge(edge))
}

/// Says that the receiver runs.
#[utoipa::path(get, path = "/", responses((status = 200, body = Answer)))]
async fn health() -> Json<Answer> {
    Json(Answer { msg: "Server is healthy".to_owned(), status_code: 200 })
}

/// Decrypts a file and stores it.
#[utoipa::path(
    post, path = "/upload/{filename}",
    params(("filename" = String, Path, description = "The name of the file, without .xml")),
    request_body(content = Upload, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "It is stored, or was stored before", body = Answer),
        (status = 400, description = "The name, the form or the token is wrong"),
        (status = 413, description = "The upload is too large"),
        (status = 507, description = "The disk is full"),
    ),
)]
async fn upload(
    State(app): State<App>,
    Path(name): Path<String>,
    form: Result<Multipart, MultipartRejection>,
) -> Result<(StatusCode, Json<Answer>), Refusal> {
    if let Some(fault) = fault_of_name(&name) {
        return Err(invalid("filename", format!("filename {fault}")));
    }
    let mut form = form.map_err(|error| {
        invalid(
            "file",
            format!("the body must be multipart/form-data with a field file: {}", error.body_text()),
        )
    })?;
    let mut token = None;
    while let Some(field) = form.next_field().await? {
        if field.name() == Some("file") && token.is_none() {
            token = Some(spool(&app.folder, field).await?);
        }
    }
    let mut token = token.ok_or_else(|| invalid("file", "the form has no field file"))?;
    let stored = tokio::task::spawn_blocking(move || {
        let mut content = BufWriter::new(app.folder.unfinished()?);
        let number = fernet::open(&app.keys, &mut token, &mut content)?;
        let is_new = app.folder.store(&name, content.into_inner()?)?;
        tracing::info!(name, key = number + 1, is_new, "file stored");
        io::Result::Ok(app.folder.path(&name))
    });
    let path = stored.await.map_err(|died| Refusal(Problem::internal(died)))??;
    let msg = format!("File is decrypted and saved to {}", path.display());
    Ok((StatusCode::CREATED, Json(Answer { msg, status_code: 201 })))
}

/// Writes the token where it can be read twice, without the line ends that files have.
async fn spool(folder: &Folder, mut field: Field<'_>) -> Result<SpooledTempFile, Refusal> {
    let mut token = folder.spool();
    while let Some(mut piece) = field.chunk().await? {
        if piece.iter().any(u8::is_ascii_whitespace) {
            piece = piece.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        }
        // To memory, or to that of the kernel: no wait that another thread should have.
        token.write_all(&piece)?;
    }
    Ok(token)
}

/// Why an upload is not stored.
struct Refusal(Problem);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

fn invalid(field: &'static str, detail: impl Into<String>) -> Refusal {
    Refusal(Problem::invalid_parameters(vec![FieldError::new(field, "invalid", detail.into())]))
}

/// The body is too large or no form, or ended early.
impl From<MultipartError> for Refusal {
    fn from(error: MultipartError) -> Self {
        if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let detail = "The upload is larger than server.body_limit_bytes.";
            return Self(Problem::new(StatusCode::PAYLOAD_TOO_LARGE).detail(detail));
        }
        let Self(problem) = invalid("file", "the form is damaged, or ended before its end");
        Self(problem.cause(error))
    }
}

/// The token is wrong, or the folder cannot be written.
impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        let problem = match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                let detail =
                    "the token is damaged, or was encrypted with a key that this receiver does not have";
                return invalid("file", detail);
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                let detail = "The receiver's disk is full; nothing was stored. Send the file again later.";
                Problem::new(StatusCode::INSUFFICIENT_STORAGE).detail(detail).retry_after(60)
            }
            _ => {
                let detail = "The receiver cannot write the file; nothing was stored. Send it again later.";
                Problem::unavailable(detail, 5)
            }
        };
        Self(problem.cause(error))
    }
}
