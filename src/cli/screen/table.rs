//! Tables without frames, within 80 columns.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};

/// For files and mails, where no terminal tells its width.
pub(super) const WIDTH: u16 = 80;

/// A table that has no lines yet.
pub(super) fn unframed() -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    table
}

/// A cell that ends where those above it end.
pub(super) fn figure(text: &str) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}
