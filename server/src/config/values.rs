//! TOML as figment's values, from the documents that also tell lines: a second parser might not agree with the first.

use figment::value::{Dict, Value};
use toml_edit::{Item, TableLike};

/// What `table` holds. Times become texts: JSON, in which backends are told of them, knows none.
pub(super) fn dict(table: &dyn TableLike) -> Dict {
    table.iter().filter_map(|(key, item)| Some((key.to_owned(), of_item(item)?))).collect()
}

fn of_item(item: &Item) -> Option<Value> {
    match item {
        Item::None => None,
        Item::Value(value) => Some(of_value(value)),
        Item::Table(table) => Some(dict(table).into()),
        Item::ArrayOfTables(tables) => {
            Some(tables.iter().map(|table| dict(table).into()).collect::<Vec<Value>>().into())
        }
    }
}

fn of_value(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => text.value().as_str().into(),
        toml_edit::Value::Integer(number) => (*number.value()).into(),
        toml_edit::Value::Float(number) => (*number.value()).into(),
        toml_edit::Value::Boolean(flag) => (*flag.value()).into(),
        toml_edit::Value::Datetime(time) => time.value().to_string().into(),
        toml_edit::Value::Array(values) => values.iter().map(of_value).collect::<Vec<_>>().into(),
        toml_edit::Value::InlineTable(table) => dict(table).into(),
    }
}
