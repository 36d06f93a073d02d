//! What is written reads back the same, in every format, however it is packed.

use std::path::Path;

use overnight::sink::{ExportTarget, Exporter, OutputFormat, OutputSettings, RecordFormat};
use overnight::source::{Format, Input, InputPath, InputSettings};
use overnight::types::{AnswerColumns, Dialect, InputColumns, Row};
use proptest::prelude::*;
use serde_json::Value;
use tempfile::TempDir;

fn settings(path: &Path) -> OutputSettings {
    OutputSettings {
        answers: AnswerColumns::default(),
        path: path.to_owned(),
        format: OutputFormat::Jsonl,
        errors: Some(path.with_extension("errors.jsonl")),
        include: None,
        prefix: String::new(),
        response: false,
    }
}

/// Writes rows as a file of this name.
fn write(folder: &TempDir, name: &str, format: RecordFormat, rows: &[Row]) {
    let path = folder.path().join(name);
    let mut out = Exporter::of_records(ExportTarget::File(path.clone()), format, &settings(&path)).unwrap();
    for row in rows {
        // As a record of another format: the bytes are not those of a line.
        assert!(out.write_record(None, Some(row)).unwrap());
    }
    out.finish().unwrap();
}

fn open(folder: &TempDir, name: &str) -> Input {
    let path = InputPath::Path { path: folder.path().join(name), shown: name.to_owned() };
    let settings = InputSettings { paths: vec![path], format: Format::Auto, delimiter: None, max_row: 16_000_000 };
    Input::open(&settings, folder.path()).unwrap()
}

fn rows(input: &Input) -> Vec<Row> {
    input.records().unwrap().map(|record| record.unwrap().row().unwrap()).collect()
}

fn row(names: &[String], values: Vec<Value>) -> Row {
    Row::new(names.iter().cloned().zip(values).collect())
}

/// Text full of what formats treat specially.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[,;\t\"\n\r\u{feff}\\\\ aß✓]{0,8}", "\\PC{0,12}"]
}

/// Any JSON below a column; no floats, as every one of them has a test of its own.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text().prop_map(Value::from)
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((text(), inner), 0..3).prop_map(|fields| Value::Object(fields.into_iter().collect()))
        ]
    })
}

proptest! {
    #[test]
    fn tables(
        rows_of_text in prop::collection::vec(prop::array::uniform3(text()), 0..12),
        names in prop::sample::select(vec![["id", "text", "note"], ["a,b", "c\td", "e;f;g;h"], ["say \"hi\"", "two\nlines", " x "]]),
        delimiter in prop::sample::select(vec![b',', b';', b'\t']),
        bom in any::<bool>(),
        ending in prop::sample::select(vec!["csv", "csv.gz", "csv.zst"]),
    ) {
        let names = names.map(str::to_owned).to_vec();
        let written: Vec<Row> =
            rows_of_text.into_iter().map(|fields| row(&names, fields.map(Value::from).to_vec())).collect();
        let dialect = Dialect { delimiter, bom };
        let columns = InputColumns::of_text(names.clone(), dialect);
        let (folder, name) = (TempDir::new().unwrap(), format!("a.{ending}"));
        write(&folder, &name, RecordFormat::Csv(columns), &written);
        let input = open(&folder, &name);
        prop_assert_eq!(input.columns(), Some(names));
        prop_assert_eq!(input.dialect(), dialect);
        prop_assert_eq!(rows(&input), written);
    }

    #[test]
    fn lines(
        fields in prop::collection::vec(prop::collection::vec((text(), value()), 0..5), 0..10),
        ending in prop::sample::select(vec!["jsonl", "jsonl.gz", "jsonl.zst"]),
    ) {
        let written: Vec<Row> = fields.into_iter().map(|fields| Row::new(fields.into_iter().collect())).collect();
        let (folder, name) = (TempDir::new().unwrap(), format!("a.{ending}"));
        write(&folder, &name, RecordFormat::Jsonl, &written);
        prop_assert_eq!(rows(&open(&folder, &name)), written);
    }
}

#[cfg(feature = "parquet")]
mod parquet {
    use std::fs::File;
    use std::sync::Arc;

    use ::parquet::arrow::ArrowWriter;
    use arrow_array::builder::{Int64Builder, ListBuilder, StringBuilder};
    use arrow_array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int16Array,
        RecordBatch, StringArray, StructArray, Time64NanosecondArray, TimestampMicrosecondArray,
        TimestampNanosecondArray, UInt64Array,
    };
    use arrow_schema::{DataType, Field};
    use overnight::sink::ColumnTypes;

    use super::*;

    /// What the columns of a row are made of.
    type Cell = (i64, String, Vec<Option<i64>>);

    fn columns(input: &Input) -> InputColumns {
        InputColumns { names: input.columns().unwrap(), types: input.types(), ..InputColumns::default() }
    }

    /// A file of Arrow's making, with a column of each kind of type.
    fn batch(cells: &[Option<Cell>]) -> RecordBatch {
        let numbers = || cells.iter().map(|cell| cell.as_ref().map(|(number, ..)| *number));
        let texts: StringArray = cells.iter().map(|cell| cell.as_ref().map(|(_, text, _)| text)).collect();
        let bytes: BinaryArray = cells.iter().map(|cell| cell.as_ref().map(|(_, text, _)| text.as_bytes())).collect();
        let mut lists = ListBuilder::new(Int64Builder::new());
        let mut names = ListBuilder::new(StringBuilder::new());
        for cell in cells {
            lists.append_option(cell.as_ref().map(|(.., list)| list.clone()));
            names.append_option(cell.as_ref().map(|(_, text, list)| vec![Some(text.clone()); list.len()]));
        }
        let cents: Decimal128Array = numbers().map(|number| number.map(i128::from)).collect();
        let inner: ArrayRef = Arc::new(lists.finish_cloned());
        let text: ArrayRef = Arc::new(texts.clone());
        let structs = StructArray::from(vec![
            (Arc::new(Field::new("list", inner.data_type().clone(), true)), inner),
            (Arc::new(Field::new("text", DataType::Utf8, true)), text),
        ]);
        let small = |number: i64| i16::try_from(number.rem_euclid(1 << 15)).unwrap();
        let real = |number: i64| f64::from_bits(number.cast_unsigned());
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("int", Arc::new(numbers().map(|number| number.map(small)).collect::<Int16Array>())),
            ("big", Arc::new(numbers().map(|number| number.map(i64::cast_unsigned)).collect::<UInt64Array>())),
            ("yes", Arc::new(numbers().map(|number| number.map(|number| number > 0)).collect::<BooleanArray>())),
            (
                "real",
                Arc::new(
                    numbers().map(|number| number.map(real).filter(|real| real.is_finite())).collect::<Float64Array>(),
                ),
            ),
            (
                "half",
                Arc::new(
                    numbers()
                        .map(|number| number.map(|number| f32::from(small(number)) / 7.0))
                        .collect::<Float32Array>(),
                ),
            ),
            (
                "day",
                Arc::new(
                    numbers()
                        .map(|number| number.map(|number| i32::from(small(number)) * 300))
                        .collect::<Date32Array>(),
                ),
            ),
            (
                "time",
                Arc::new(
                    numbers()
                        .map(|number| number.map(|number| number.rem_euclid(86_400_000_000_000)))
                        .collect::<Time64NanosecondArray>(),
                ),
            ),
            ("nanos", Arc::new(numbers().collect::<TimestampNanosecondArray>())),
            ("at", Arc::new(numbers().collect::<TimestampMicrosecondArray>().with_timezone("UTC"))),
            ("cents", Arc::new(cents.with_precision_and_scale(30, 4).unwrap())),
            ("text", Arc::new(texts)),
            ("bytes", Arc::new(bytes)),
            ("list", Arc::new(lists.finish())),
            ("names", Arc::new(names.finish())),
            ("pair", Arc::new(structs)),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
            .unwrap()
    }

    fn cell() -> impl Strategy<Value = Option<Cell>> {
        let list = prop::collection::vec(prop::option::of(any::<i64>()), 0..4);
        prop::option::weighted(0.9, (any::<i64>(), text(), list))
    }

    fn raw(input: &Input) -> Vec<String> {
        input.records().unwrap().map(|record| String::from_utf8(record.unwrap().raw().into_owned()).unwrap()).collect()
    }

    proptest! {
        #[test]
        fn parquet_keeps_values_and_types(cells in prop::collection::vec(cell(), 0..20)) {
            let (folder, batch) = (TempDir::new().unwrap(), batch(&cells));
            let file = File::create(folder.path().join("a.parquet")).unwrap();
            let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
            let first = open(&folder, "a.parquet");
            write(&folder, "b.parquet", RecordFormat::Parquet(columns(&first)), &rows(&first));
            let second = open(&folder, "b.parquet");
            prop_assert_eq!(first.types(), second.types());
            prop_assert_eq!(raw(&first), raw(&second));
        }

        /// A column of one type keeps it; of several, it is text with JSON in it.
        #[test]
        fn json_becomes_parquet(
            texts in prop::collection::vec((prop::option::of(any::<i64>()), prop::option::of(text()), value()), 1..10),
        ) {
            let names = ["n", "t", "any"].map(str::to_owned).to_vec();
            let written: Vec<Row> = texts
                .into_iter()
                .map(|(number, text, value)| row(&names, vec![Value::from(number), Value::from(text), value]))
                .collect();
            let mut types = ColumnTypes::default();
            for row in &written {
                types.see(row);
            }
            let columns = InputColumns { names, types: Some(types.schema()), ..InputColumns::default() };
            let folder = TempDir::new().unwrap();
            write(&folder, "a.parquet", RecordFormat::Parquet(columns), &written);
            let read = rows(&open(&folder, "a.parquet"));
            prop_assert_eq!(read.len(), written.len());
            for (read, written) in read.iter().zip(&written) {
                prop_assert_eq!((read.get("n"), read.get("t")), (written.get("n"), written.get("t")));
                let (got, want) = (read.get("any"), written.get("any"));
                let as_text = want.map(|want| Value::from(want.as_str().map_or_else(|| want.to_string(), str::to_owned)));
                prop_assert!(got == want || got == as_text.as_ref(), "{:?} is not {:?}", got, want);
            }
        }
    }

    #[test]
    fn text_tables_and_many_rows_stay_as_they_are() {
        let names = ["id", "text"].map(str::to_owned).to_vec();
        let written: Vec<Row> = (0..5_000)
            .map(|n| row(&names, vec![Value::from(format!("{n:05}")), Value::from("some text ".repeat(n % 90))]))
            .collect();
        let folder = TempDir::new().unwrap();
        let columns = InputColumns::of_text(names, Dialect::default());
        write(&folder, "a.parquet", RecordFormat::Parquet(columns), &written);
        assert_eq!(rows(&open(&folder, "a.parquet")), written);
    }

    #[test]
    fn a_null_is_no_row_of_its_own() {
        let folder = TempDir::new().unwrap();
        let empty = Row::default();
        let columns = InputColumns::of_text(vec!["a".to_owned()], Dialect::default());
        write(&folder, "a.parquet", RecordFormat::Parquet(columns), &[empty]);
        assert_eq!(raw(&open(&folder, "a.parquet")), ["{\"a\":null}"]);
    }
}
