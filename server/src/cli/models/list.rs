//! `segue models list` and `verify`.

use serde_json::{Value, json};

use super::{CliResult, Failure, Places, Presence, Row, entries};
use crate::model::CatalogEntry;

pub(super) fn list(places: &Places, json: bool) -> CliResult {
    let entries = entries(places)?;
    let rows = entries.iter().map(|(name, entry)| (name, entry, Row::all_of(places, name, entry)));
    if json {
        let document: Vec<_> = rows.map(|(name, entry, rows)| describe(name, entry, &rows)).collect();
        println!("{}", Value::from(document));
        return Ok(());
    }
    let mut table = vec![["MODEL", "BACKEND", "MIOU", "LICENCE", "WEIGHTS"].map(str::to_owned)];
    for (name, entry, rows) in rows {
        if rows.is_empty() {
            let licence = entry.licence.clone();
            table.push([name.clone(), entry.backend.clone(), String::new(), licence, "needs none".into()]);
        }
        table.extend(rows.iter().map(cells));
    }
    print(&table);
    Ok(())
}

fn cells(row: &Row<'_>) -> [String; 5] {
    let entry = row.wanted.entry;
    let miou = entry.expected_miou_of(row.variant);
    let miou = miou.map(|miou| format!("{:.1} {}", miou.value, miou.dataset)).unwrap_or_default();
    let licence = format!("{}{}", entry.licence, if entry.non_commercial { ", non-commercial" } else { "" });
    let state = match row.state() {
        "here" => "here".to_owned(),
        "changed" => format!("not what it should be: {}", row.wanted.command()),
        "needs_licence" => format!("needs licence: {}", row.wanted.command()),
        _ => format!("not here: {}", row.wanted.command()),
    };
    [row.name(), entry.backend.clone(), miou, licence, state]
}

/// Each column as wide as its widest cell, but for the last.
fn print(table: &[[String; 5]]) {
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..4).map(width).collect();
    for row in table {
        let cells = row.iter().zip(widths.iter().chain([&0]));
        let line: String = cells.map(|(cell, &width)| format!("{cell:<width$}  ")).collect();
        println!("{}", line.trim_end());
    }
}

fn describe(name: &str, entry: &CatalogEntry, rows: &[Row<'_>]) -> Value {
    let file = |row: &Row<'_>| {
        let sha256 = match &row.presence {
            Presence::Here { sha256, .. } => sha256,
            Presence::Changed(_) | Presence::Absent => &row.variant.sha256,
        };
        json!({
            "variant": row.wanted.variant, "file": row.variant.file, "state": row.state(), "sha256": sha256,
            "command": if row.is_here() { String::new() } else { row.wanted.command() },
            "expected_miou": entry.expected_miou_of(row.variant),
            "classes": entry.classes_of(Some(row.variant)).len(),
        })
    };
    json!({
        "name": name, "title": entry.title, "backend": entry.backend, "licence": entry.licence,
        "non_commercial": entry.non_commercial, "default_variant": entry.default_variant,
        "variants": entry.variants.keys().collect::<Vec<_>>(),
        "files_missing": rows.iter().filter(|row| !row.is_here()).count(),
        "files": rows.iter().map(file).collect::<Vec<_>>(),
    })
}

pub(super) fn verify(places: &Places, json: bool) -> CliResult {
    let (mut document, mut changed) = (Vec::new(), Vec::new());
    for (name, entry) in entries(places)? {
        let rows = Row::all_of(places, &name, &entry);
        if !json {
            rows.iter().for_each(|row| println!("{}: {}", row.name(), row.state().replace('_', " ")));
        }
        changed.extend(rows.iter().filter(|row| row.state() == "changed").map(|row| row.wanted.command()));
        let states: serde_json::Map<_, _> =
            rows.iter().map(|row| (row.wanted.variant.to_owned(), row.state().into())).collect();
        document.push(json!({ "name": name, "variants": states }));
    }
    if json {
        println!("{}", Value::from(document));
    }
    if changed.is_empty() {
        return Ok(());
    }
    Err(Failure::does_not_hold(format!(
        "weights are not what they should be; this mends it: `{}`",
        changed.join("`, `")
    )))
}
