//! What a client can choose by a word.

use utoipa::ToSchema;

use crate::query_string::parse_choice;

/// The order of days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
pub enum Order {
    /// The default.
    #[schema(rename = "desc")]
    NewestFirst,
    /// From the first day to the last.
    #[schema(rename = "asc")]
    OldestFirst,
}

/// What an answer says of a day beside its number of prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Statistics {
    /// The default.
    Mean,
    /// The mean and percentiles.
    Full,
}

/// What an element of an answer stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Interval {
    /// The default.
    Day,
    /// Of ISO 8601: from Monday.
    Week,
    /// Of the calendar.
    Month,
    /// January to March and so on.
    Quarter,
    /// Of the calendar.
    Year,
}

/// What stands for a lane with too few prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
pub enum Widen {
    /// Nothing, the default.
    #[schema(rename = "false")]
    No,
    /// Wider places for the whole range.
    #[schema(rename = "true")]
    WholeRange,
    /// Wider places for each element that needs them.
    #[schema(rename = "each")]
    Each,
}

/// The two ends of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Role {
    /// Where it begins.
    Origin,
    /// Where it ends.
    Destination,
}

impl Interval {
    /// All, the shortest first.
    pub(crate) const ALL: [Self; 5] = [Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year];

    /// The name in requests and for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }

    /// Whether its percentiles are stored. Those of longer intervals are computed from the prices.
    pub(crate) fn has_stored_percentiles(self) -> bool {
        self == Self::Day
    }
}

parse_choice!(Order: "desc" => NewestFirst, "asc" => OldestFirst);
parse_choice!(Statistics: "mean" => Mean, "full" => Full);
parse_choice!(Interval: "day" => Day, "week" => Week, "month" => Month, "quarter" => Quarter, "year" => Year);
parse_choice!(Role: "origin" => Origin, "destination" => Destination);
parse_choice!(Widen: "false" => No, "true" => WholeRange, "each" => Each);
