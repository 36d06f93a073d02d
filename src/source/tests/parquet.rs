//! Parquet files, made by Arrow's own writer.

use std::fs::File;
use std::sync::Arc;

use arrow_array::builder::{Int32Builder, ListBuilder, MapBuilder, StringBuilder};
use arrow_array::types::Int8Type;
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, FixedSizeBinaryArray,
    Float32Array, Float64Array, Int64Array, RecordBatch, StringArray, StructArray, Time64MicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, UInt64Array,
};
use arrow_schema::{DataType, Field};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::{Bench, all, shown};

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

/// Adds a file with groups of so many rows.
fn with(bench: Bench, name: &str, batch: &RecordBatch, group: usize) -> Bench {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group))
        .set_compression(Compression::SNAPPY)
        .set_data_page_row_count_limit(7)
        .set_write_batch_size(3)
        .build();
    let file = File::create(bench.at(name)).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bench.path(name)
}

fn file(columns: Vec<(&str, ArrayRef)>) -> Bench {
    with(Bench::new(), "a.parquet", &batch(columns), 2)
}

fn numbers(count: i64) -> RecordBatch {
    let text: StringArray = (0..count).map(|n| Some(format!("text of {n}"))).collect();
    batch(vec![("n", Arc::new(Int64Array::from_iter_values(0..count))), ("text", Arc::new(text))])
}

#[test]
fn values_are_what_json_can_say_of_them() {
    let bench = file(vec![
        ("yes", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("big", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None]))),
        ("half", Arc::new(Float32Array::from(vec![Some(0.1), Some(f32::NAN)]))),
        ("real", Arc::new(Float64Array::from(vec![Some(-0.1), Some(f64::INFINITY)]))),
        ("text", Arc::new(StringArray::from(vec![Some("say \"ß\"\n"), None]))),
        ("bytes", Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\xff\x00a"), None]))),
        ("kind", Arc::new(vec![Some("red"), None].into_iter().collect::<DictionaryArray<Int8Type>>())),
    ]);
    assert_eq!(
        bench.shown(),
        [
            concat!(
                r#"a.parquet:1 {"yes":true,"big":18446744073709551615,"half":0.1,"real":-0.1,"#,
                r#""text":"say \"ß\"\n","bytes":"/wBh","kind":"red"}"#
            ),
            r#"a.parquet:2 {"yes":null,"big":null,"half":null,"real":null,"text":null,"bytes":null,"kind":null}"#
        ]
    );
    assert_eq!(bench.open().unwrap().header().unwrap()[..2], ["yes", "big"]);
}

#[test]
fn dates_times_and_decimals_are_exact_texts() {
    let cents = Decimal128Array::from(vec![-1250, 7]).with_precision_and_scale(20, 2).unwrap();
    let bench = file(vec![
        ("day", Arc::new(Date32Array::from(vec![19_000, -1]))),
        ("far", Arc::new(Date32Array::from(vec![i32::MAX, 0]))),
        ("at", Arc::new(TimestampMillisecondArray::from(vec![1_500, 0]).with_timezone("Europe/Berlin"))),
        ("local", Arc::new(TimestampNanosecondArray::from(vec![1, -1]))),
        ("time", Arc::new(Time64MicrosecondArray::from(vec![45_296_000_001, 0]))),
        ("price", Arc::new(cents)),
    ]);
    assert_eq!(
        bench.shown(),
        [
            concat!(
                r#"a.parquet:1 {"day":"2022-01-08","far":2147483647,"at":"1970-01-01T00:00:01.5Z","#,
                r#""local":"1970-01-01T00:00:00.000000001","time":"12:34:56.000001","price":"-12.50"}"#
            ),
            concat!(
                r#"a.parquet:2 {"day":"1969-12-31","far":"1970-01-01","at":"1970-01-01T00:00:00Z","#,
                r#""local":"1969-12-31T23:59:59.999999999","time":"00:00:00","price":"0.07"}"#
            ),
        ]
    );
}

#[test]
fn lists_structs_and_maps_are_nested_json() {
    let mut list = ListBuilder::new(StringBuilder::new());
    list.append_value([Some("a"), None]);
    list.append_null();
    let list = list.finish();
    let age: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), None]));
    let tags: ArrayRef = Arc::new(list.clone());
    let pet = StructArray::from(vec![
        (Arc::new(Field::new("age", DataType::Int64, true)), age),
        (Arc::new(Field::new("tags", list.data_type().clone(), true)), tags),
    ]);
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    map.keys().append_value("x");
    map.values().append_value(1);
    map.append(true).unwrap();
    map.append(true).unwrap();
    let bench = file(vec![("list", Arc::new(list)), ("pet", Arc::new(pet)), ("map", Arc::new(map.finish()))]);
    assert_eq!(
        bench.shown(),
        [
            r#"a.parquet:1 {"list":["a",null],"pet":{"age":3,"tags":["a",null]},"map":{"x":1}}"#,
            r#"a.parquet:2 {"list":null,"pet":{"age":null,"tags":null},"map":{}}"#,
        ]
    );
}

#[test]
fn a_uuid_is_written_as_one() {
    use parquet::arrow::arrow_writer::ArrowWriterOptions;
    use parquet::schema::parser::parse_message_type;
    use parquet::schema::types::SchemaDescriptor;
    let schema = "message m { required fixed_len_byte_array(16) id (UUID); }";
    let schema = SchemaDescriptor::new(Arc::new(parse_message_type(schema).unwrap()));
    let bytes = FixedSizeBinaryArray::try_from_iter([[0xAB_u8; 16]].into_iter()).unwrap();
    let batch = RecordBatch::try_from_iter([("id", Arc::new(bytes) as ArrayRef)]).unwrap();
    let bench = Bench::new();
    let options = ArrowWriterOptions::new().with_parquet_schema(schema);
    let file = File::create(bench.at("a.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new_with_options(file, batch.schema(), options).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let expected = r#"a.parquet:1 {"id":"abababab-abab-abab-abab-abababababab"}"#;
    assert_eq!(bench.path("a.parquet").shown(), [expected]);
}

#[test]
fn any_leap_forward_lands_on_its_row() {
    for group in [1, 10, 3_000, 100_000] {
        let bench = with(Bench::new(), "a.parquet", &numbers(10_000), group);
        let input = bench.open().unwrap();
        assert_eq!(input.count().unwrap(), 10_000);
        let mut records = input.records().unwrap();
        let mut goal = 1;
        for leap in [1, 1, 2, 1_000, 1, 5_000, 3, 3_989] {
            goal += leap;
            let record = records.at(goal).unwrap().unwrap();
            assert_eq!(record.row().unwrap().get("n").unwrap().as_u64(), Some(goal - 1), "groups of {group}");
            assert_eq!(record.place.to_string(), format!("a.parquet:{goal}"));
        }
        assert!(records.at(10_001).unwrap().is_none());
    }
}

#[test]
fn a_record_is_the_same_bytes_however_the_file_is_cut() {
    let one = with(Bench::new(), "a.parquet", &numbers(50), 7);
    let other = with(Bench::new(), "b.parquet", &numbers(50), 50);
    let raw = |bench: &Bench| bench.records().iter().map(|record| record.raw().into_owned()).collect::<Vec<_>>();
    assert_eq!(raw(&one), raw(&other));
    assert_eq!(raw(&one)[3], br#"{"n":3,"text":"text of 3"}"#);
}

#[test]
fn numbers_go_on_over_files_and_a_row_over_max_row_fails_alone() {
    let bench = with(Bench::with("a.jsonl", "{\"n\":-1}"), "b.parquet", &numbers(2), 5);
    let bench = with(bench, "c.parquet", &numbers(1), 5);
    let records = bench.records();
    let numbers: Vec<u64> = records.iter().map(|record| record.number).collect();
    assert_eq!(
        (numbers, shown(&records[3])),
        (vec![1, 2, 3, 4], r#"c.parquet:1 {"n":0,"text":"text of 0"}"#.to_owned())
    );

    let long = Arc::new(StringArray::from(vec!["a", &"x".repeat(500_000), "b"]));
    let bench = file(vec![("text", long)]).set(|s| s.max_row = 100_000);
    assert_eq!(
        bench.shown(),
        [r#"a.parquet:1 {"text":"a"}"#, "a.parquet:2 ! record is over 100 kB (max_row)", r#"a.parquet:3 {"text":"b"}"#]
    );
    assert!(bench.records()[1].size() <= 64 * 1024);
}

#[test]
fn a_folder_a_pipe_and_a_file_without_rows_are_read() {
    let bench = with(Bench::new().file("data/b.jsonl", "{\"n\":5}"), "data/a.parquet", &numbers(1), 5);
    let bench = bench.set(|s| s.paths.clear()).path("data");
    assert_eq!(bench.shown(), [r#"data/a.parquet:1 {"n":0,"text":"text of 0"}"#, r#"data/b.jsonl:1 {"n":5}"#]);
    let bytes = std::fs::read(bench.at("data/a.parquet")).unwrap();
    let piped = Bench::new().set(|s| s.paths.push(crate::source::InputPath::Stdin));
    let input = piped.open_with_stdin(&bytes).unwrap();
    assert_eq!(all(&input).iter().map(shown).collect::<Vec<_>>(), [r#"stdin:1 {"n":0,"text":"text of 0"}"#]);
    assert!(with(Bench::new(), "a.parquet", &numbers(0), 5).records().is_empty());
}

#[test]
fn what_is_no_parquet_says_so() {
    let bench = with(Bench::new(), "a.parquet", &numbers(100), 10);
    let whole = std::fs::read(bench.at("a.parquet")).unwrap();
    for cut in [0, 3, 100, whole.len() - 1] {
        let error = Bench::with("b.parquet", &whole[..cut]).error();
        assert!(error.starts_with("b.parquet: cannot be read as Parquet: "), "{error}");
    }
    assert!(Bench::with("b.parquet", "{}\n").error().contains("cannot be read as Parquet"));
    let mut damaged = whole.clone();
    damaged[4..60].fill(0xFF);
    let bench = Bench::with("b.parquet", damaged);
    let error = bench.open().unwrap().records().unwrap().find_map(Result::err).unwrap().to_string();
    assert!(error.starts_with("b.parquet: cannot be read as Parquet: "), "{error}");
    let packed = zstd::encode_all(whole.as_slice(), 1).unwrap();
    let error = Bench::with("b.parquet.zst", packed).error();
    assert_eq!(
        error,
        "b.parquet.zst: this is a Parquet file that is packed once more\n  hint: unpack it: Parquet is packed inside"
    );
    assert_eq!(
        Bench::with("b.jsonl", &whole).error(),
        "b.jsonl: this is a Parquet file\n  hint: give it the extension .parquet"
    );
}
