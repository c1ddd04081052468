//! Days as numbers, for the years that the sample needs: from 2001 to 2099, every fourth year is a leap year.

use std::fmt;

/// A day, counted from 2001-01-01 (a Monday) as 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Day(pub(crate) i64);

const MONTHS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

const fn is_leap(year: i64) -> bool {
    year % 4 == 0
}

const fn first_of_year(year: i64) -> i64 {
    (year - 2001) * 365 + (year - 2001) / 4
}

const fn length(year: i64, month: usize) -> i64 {
    MONTHS[month - 1] + (month == 2 && is_leap(year)) as i64
}

impl Day {
    pub(crate) const fn new(year: i64, month: usize, day: i64) -> Self {
        let mut number = first_of_year(year) + day - 1;
        let mut earlier = 1;
        while earlier < month {
            number += length(year, earlier);
            earlier += 1;
        }
        Self(number)
    }

    pub(crate) const fn is_weekend(self) -> bool {
        self.0 % 7 >= 5
    }

    /// The year, and the day within it, counted from 0.
    pub(crate) const fn of_year(self) -> (i64, i64) {
        // 1461 days are four years, with the leap year last; the 3 keeps its 366th day in that year.
        let year = 2001 + (self.0 * 4 + 3) / 1461;
        (year, self.0 - first_of_year(year))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, mut day) = self.of_year();
        let mut month = 1;
        while day >= length(year, month) {
            day -= length(year, month);
            month += 1;
        }
        write!(f, "{year}-{month:02}-{:02}", day + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_dates() {
        assert_eq!(Day::new(2001, 1, 1), Day(0));
        assert_eq!(Day::new(2016, 3, 1).0 - Day::new(2016, 2, 1).0, 29);
        assert_eq!(Day::new(2021, 3, 1).0 - Day::new(2021, 2, 1).0, 28);
        assert!(Day::new(2016, 1, 2).is_weekend() && Day::new(2021, 1, 31).is_weekend());
        assert!(!Day::new(2016, 1, 1).is_weekend() && !Day::new(2021, 2, 1).is_weekend());
    }

    #[test]
    fn writes_every_day_of_every_month() {
        let mut number = 0;
        for year in 2001..=2099 {
            for month in 1..=12 {
                for day in 1..=length(year, month) {
                    assert_eq!(Day::new(year, month, day), Day(number));
                    assert_eq!(Day(number).to_string(), format!("{year}-{month:02}-{day:02}"));
                    number += 1;
                }
            }
        }
    }
}
