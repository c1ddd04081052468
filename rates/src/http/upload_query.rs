//! The query string of `POST /prices`.

use chassis::Problem;
use utoipa::IntoParams;

use crate::query_string::{Parameter, Reading, parse_bool};
use crate::values::quoted;

/// Documents the parameters; [`UploadQuery`] parses them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documentation only")]
pub(crate) struct UploadQueryParams {
    /// The id of a batch of yours that this one corrects: its prices are replaced by the new ones in one step.
    #[param(required = false)]
    replaces: i64,
    /// Only check the content: nothing is stored. The answer is a batch in the state `checked`.
    #[param(required = false)]
    dry_run: bool,
}

/// What the query string of an upload says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct UploadQuery {
    pub(super) replaces: Option<i64>,
    pub(super) dry_run: bool,
}

impl UploadQuery {
    pub(super) fn parse(query: &str) -> Result<Self, Problem> {
        let mut replaces = Parameter::new(&["replaces"]);
        let mut dry_run = Parameter::new(&["dry_run"]);
        let mut reading = Reading::new(query, [&mut replaces, &mut dry_run]);
        let replaces = reading.optional(replaces, None, |value| {
            let id: Result<i64, _> = value.parse();
            id.map(Some).map_err(|_| ("malformed", format!("{} is not the id of a batch", quoted(&value))))
        });
        let dry_run = reading.optional(dry_run, false, |text| parse_bool(&text));
        let faults = reading.finish();
        match (replaces, dry_run) {
            (Some(replaces), Some(dry_run)) if faults.is_empty() => Ok(Self { replaces, dry_run }),
            _ => Err(Problem::invalid_parameters(faults)),
        }
    }
}
