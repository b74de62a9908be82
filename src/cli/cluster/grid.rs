//! A table on the screen: a heading, columns, nothing else.

use comfy_table::{Table, presets};

use crate::cli::style::{STRONG, styled};

/// The table as text, with the heading stressed.
pub fn text(heading: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(heading.to_vec());
    for row in rows {
        table.add_row(row);
    }
    let mut text = String::new();
    for (place, line) in table.trim_fmt().lines().enumerate() {
        let line = line.strip_prefix(' ').unwrap_or(line).trim_end();
        text += &if place == 0 { styled(STRONG, line) } else { line.to_owned() };
        text.push('\n');
    }
    text
}
