//! A row of JSON: an object with the fields of a price, or any other value in its place.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::batches::parse::rows::{FIELDS, RawFields, RawValue};

/// The maximum number of unknown fields that are named per row.
const NAMED_UNKNOWN_FIELDS: usize = 4;

/// A row before it is checked.
#[expect(clippy::large_enum_variant, reason = "one lives at a time; a box would be allocated for each row")]
pub(super) enum Row {
    Object { fields: RawFields<'static>, unknown: Vec<String>, repeated: Vec<&'static str> },
    Other(Cow<'static, str>),
}

/// Values of the wrong type become texts for messages. Nested ones are skipped without recursion.
macro_rules! visit_other_values {
    ($other:expr) => {
        fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
            Ok($other(if value { "true" } else { "false" }.into()))
        }

        fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
            Ok($other(number.to_string().into()))
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($other("null".into()))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            Ok($other("an array".into()))
        }
    };
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RowVisitor)
    }
}

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
        let (mut fields, mut unknown, mut repeated) =
            ([const { None }; FIELDS.len()], Vec::new(), Vec::new());
        while let Some(Name(name)) = map.next_key()? {
            let Some(index) = FIELDS.iter().position(|field| *field == name) else {
                map.next_value::<IgnoredAny>()?;
                if unknown.len() < NAMED_UNKNOWN_FIELDS {
                    unknown.push(name.into_owned());
                }
                continue;
            };
            if fields[index].is_some() {
                repeated.push(FIELDS[index]);
            }
            fields[index] = Some(map.next_value_seed(ValueVisitor)?);
        }
        Ok(Row::Object { fields, unknown, repeated })
    }

    visit_other_values!(Row::Other);

    fn visit_str<E>(self, _: &str) -> Result<Row, E> {
        Ok(Row::Other("a text".into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Row, E> {
        Ok(Row::Other(number.to_string().into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Row, E> {
        Ok(Row::Other(number.to_string().into()))
    }
}

struct ValueVisitor;

impl<'de> DeserializeSeed<'de> for ValueVisitor {
    type Value = RawValue<'static>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = RawValue<'static>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(RawValue::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(RawValue::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(RawValue::Integer(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(RawValue::Other("an object".into()))
    }

    visit_other_values!(RawValue::Other);
}

/// The name of a member, borrowed where the parser allows it.
pub(super) struct Name<'a>(pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Borrowed(name)))
    }

    fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
        // The known names are constants, so a good row allocates none.
        let known = FIELDS.iter().find(|field| **field == name);
        Ok(Name(known.map_or_else(|| Cow::Owned(name.to_owned()), |field| Cow::Borrowed(*field))))
    }
}
