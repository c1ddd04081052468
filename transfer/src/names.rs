//! Names of elements, made from the keys of objects as dicttoxml does.

use std::{borrow::Cow, collections::HashSet, sync::LazyLock};

/// The characters that a name may start with, those that it may also contain, and digits.
///
/// The first two are of the fourth edition of XML 1.0, which Python's parser follows, the last of Python's
/// `str.isdigit`. `tests/interop.py` compares them with Python's.
static CHARACTERS: LazyLock<[HashSet<char>; 3]> = LazyLock::new(|| {
    let lines = include_str!("names.txt").lines().filter_map(|line| line.split_once(' '));
    let of_kind = |kind: &str| {
        let ranges = lines.clone().filter(|(of, _)| *of == kind).flat_map(|(_, ranges)| ranges.split(' '));
        let number = |text: &str| u32::from_str_radix(text, 16).expect("names.txt has numbers");
        let bounds = ranges.map(|range| range.split_once('-').unwrap_or((range, range)));
        bounds.flat_map(|(first, last)| number(first)..=number(last)).filter_map(char::from_u32).collect()
    };
    [of_kind("start"), of_kind("inside"), of_kind("digit")]
});

/// The element that a key becomes.
pub(crate) struct Name<'k> {
    pub(crate) element: Cow<'k, str>,
    /// The key, if it is no valid name of an element.
    pub(crate) attribute: Option<Cow<'k, str>>,
}

/// The element for this key. `is_scalar` says whether its value is neither an object nor an array.
pub(crate) fn element_name(key: &str, is_scalar: bool) -> Result<Name<'_>, String> {
    if let Some(name) = valid(key) {
        return Ok(Name { element: name.into(), attribute: None });
    }
    if !key.is_empty() && key.chars().all(|c| CHARACTERS[2].contains(&c)) {
        let numbered = format!("n{key}");
        if valid(&numbered).is_some() {
            return Ok(Name { element: numbered.into(), attribute: None });
        }
        // dicttoxml checks the name of a scalar twice, and writes an invalid name for a list or an object.
        return if is_scalar {
            Ok(Name { element: "key".into(), attribute: Some(numbered.into()) })
        } else {
            Err(format!("the key {key:?} cannot be the name of an element"))
        };
    }
    let joined = key.replace(' ', "_");
    if let Some(name) = valid(&joined) {
        return Ok(Name { element: name.to_owned().into(), attribute: None });
    }
    Ok(Name { element: "key".into(), attribute: Some(key.into()) })
}

/// The key without white space at its end, which Python's parser ignores, if that is a valid name.
fn valid(key: &str) -> Option<&str> {
    let name = key.trim_end_matches([' ', '\t', '\n', '\r']);
    let [start, inside, _] = &*CHARACTERS;
    // The only prefix that needs no declaration.
    let local = name.strip_prefix("xml:").unwrap_or(name);
    let mut characters = local.chars();
    let is_valid = characters.next().is_some_and(|c| start.contains(&c))
        && characters.all(|c| start.contains(&c) || inside.contains(&c));
    is_valid.then_some(name)
}
