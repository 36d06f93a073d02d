//! Data sets in and out, as files of each format.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::time::SystemTime;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::world::World;

/// A folder with an input, and a job from it into `out`.
fn world(input: &str, rows: impl AsRef<[u8]>, out: &str) -> World {
    let world = World::new();
    world.write(input, rows);
    job(&world, input, &format!("path = \"{out}\""));
    world
}

/// Writes the job; `output` stands in its table. Its model fails on long texts.
fn job(world: &World, input: &str, output: &str) {
    let job = format!(
        r#"
        [input]
        path = "{input}"
        [output]
        {output}
        [tasks.tag]
        model = "sim/short-context-100"
        prompt = "Tag {{{{ text }}}}"
        [providers.sim]
        kind = "simulated"
        "#
    );
    world.write("job.toml", job);
}

/// What a packed file holds.
fn unpacked(path: &Path) -> String {
    let (file, mut text) = (File::open(path).unwrap(), String::new());
    let mut reader: Box<dyn Read> = match path.extension().unwrap().to_str().unwrap() {
        "gz" => Box::new(MultiGzDecoder::new(file)),
        "zst" => Box::new(zstd::Decoder::new(file).unwrap()),
        other => panic!("{other} is not packed"),
    };
    reader.read_to_string(&mut text).unwrap();
    text
}

fn gzip(text: &str) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

fn values(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn json_rows(count: usize) -> String {
    let text = |n: usize| if n.is_multiple_of(5) { "long ".repeat(200) } else { format!("row {n}") };
    (1..=count).map(|n| json!({"id": n, "text": text(n)}).to_string() + "\n").collect()
}

#[test]
fn packed_results_hold_what_plain_ones_do_and_an_unchanged_file_is_not_touched() {
    let world = world("in.jsonl", json_rows(12), "out/r.jsonl");
    assert_eq!(world.overnight(&["run", "job.toml"]).code, Some(4));
    let plain = world.read("out/r.jsonl");
    for name in ["out/r.jsonl.gz", "out/r.jsonl.zst"] {
        job(&world, "in.jsonl", &format!("path = \"{name}\""));
        let again = world.overnight(&["run", "job.toml", "--json"]);
        assert_eq!(again.summary()["attempts"], 0, "a format costs no call: {again:?}");
        assert_eq!(unpacked(&world.path(name)), plain);
        let old = SystemTime::UNIX_EPOCH;
        File::options().write(true).open(world.path(name)).unwrap().set_modified(old).unwrap();
        world.overnight(&["run", "job.toml"]);
        assert_eq!(fs::metadata(world.path(name)).unwrap().modified().unwrap(), old, "{name} was written again");
    }
    let names = names(&world.path("out"));
    assert_eq!(names, ["r.errors.jsonl", "r.jsonl", "r.jsonl.gz", "r.jsonl.zst"]);
    assert_eq!(world.lines("out/r.errors.jsonl").len(), 2);
}

#[test]
fn a_packed_table_its_errors_and_its_part_have_names_that_say_so() {
    let world = world("in.csv", "id,text\n1,a\n2,b\n", "out/r.csv.zst");
    job(&world, "in.csv", "path = \"out/r.csv.zst\"\nerrors = \"out/bad.jsonl.gz\"");
    assert_eq!(world.overnight(&["run", "job.toml", "--limit", "1"]).code, Some(0));
    assert_eq!(names(&world.path("out")), ["bad.partial.jsonl.gz", "r.partial.csv.zst"]);
    assert_eq!(unpacked(&world.path("out/r.partial.csv.zst")).lines().count(), 2);
    assert_eq!(world.overnight(&["run", "job.toml"]).code, Some(0));
    let table = unpacked(&world.path("out/r.csv.zst"));
    assert!(table.starts_with("id,text,content,model,status,cost_usd,error\n1,a,"), "{table}");
    assert_eq!(unpacked(&world.path("out/bad.jsonl.gz")), "");
}

#[test]
fn exports_are_packed_by_their_name_and_failed_rows_come_back_in() {
    let world = world("in.jsonl.gz", gzip(&json_rows(12)), "out.jsonl");
    world.overnight(&["run", "job.toml"]);
    let ran = world.overnight(&["export", "job.toml", "-o", "all.csv.gz"]);
    assert!(unpacked(&world.path("all.csv.gz")).starts_with("id,text,content,"), "{ran:?}");
    world.overnight(&["export", "job.toml", "-o", "all.jsonl.zst"]);
    assert_eq!(values(&unpacked(&world.path("all.jsonl.zst"))), world.lines("out.jsonl"));
    world.overnight(&["export", "job.toml", "--failed", "-o", "failed.jsonl.zst"]);
    let again = world.overnight(&["run", "job.toml", "--input", "failed.jsonl.zst", "--json"]);
    assert_eq!(again.summary()["rows"]["total"], 2, "{again:?}");
}

/// The records of a table as a spreadsheet reads them, and their first bytes.
fn table(world: &World, name: &str, delimiter: u8) -> Vec<Vec<String>> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).delimiter(delimiter).from_path(world.path(name)).unwrap();
    reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// Runs a table through the job; what it looks like before and after.
fn through(input: &str, rows: impl AsRef<[u8]>, out: &str, delimiter: u8) -> (World, Vec<Vec<String>>) {
    let world = world(input, rows, out);
    let ran = world.overnight(&["run", "job.toml"]);
    assert!(matches!(ran.code, Some(0 | 4)), "{ran:?}");
    let table = table(&world, out, delimiter);
    (world, table)
}

#[test]
fn a_spreadsheets_table_comes_back_as_the_same_kind_of_table() {
    // As Excel saves it in much of Europe: a byte order mark, semicolons, CRLF, and no line end at the last row.
    let rows = "\u{feff}id;text;\"a \"\"note\"\"\"\r\n1;\"one\r\ntwo; three\";\r\n007;\"say \"\"hi\"\"\";=1+1\r\n3;Größe;\" x \"";
    let (world, read) = through("in.csv", rows, "out.csv", b';');
    assert!(world.read("out.csv").starts_with("\u{feff}id;text;"), "{}", world.read("out.csv"));
    assert_eq!(read[0][1..], ["text", "a \"note\"", "content", "model", "status", "cost_usd", "error"]);
    let inputs: Vec<&[String]> = read[1..].iter().map(|row| &row[..3]).collect();
    let expected = [["1", "one\r\ntwo; three", ""], ["007", "say \"hi\"", "=1+1"], ["3", "Größe", " x "]];
    assert_eq!(inputs, expected);
    assert!(read[1..].iter().all(|row| row[5] == "succeeded" && row[4] == "short-context-100"), "{read:?}");
}

#[test]
fn the_delimiter_of_a_table_follows_its_name_and_then_the_input() {
    for (input, rows, out, delimiter) in [
        ("in.csv", "id,text\n1,a\n", "out.csv", b','),
        ("in.csv", "id\ttext\n1\ta\n", "out.csv", b'\t'),
        ("in.tsv", "id\ttext\n1\ta\n", "out.tsv", b'\t'),
        ("in.tsv", "id\ttext\n1\ta\n", "out.csv", b','),
        ("in.csv", "id;text\n1;a\n", "out.tsv", b'\t'),
        ("in.jsonl", "{\"id\":1,\"text\":\"a\"}\n", "out.csv", b','),
    ] {
        let (world, read) = through(input, rows, out, delimiter);
        assert_eq!(
            (&read[0][..2], &read[1][..2]),
            (&["id", "text"].map(str::to_owned)[..], &["1", "a"].map(str::to_owned)[..]),
            "{input} {out}"
        );
        world.overnight(&["export", "job.toml", "-o", &format!("again-{out}")]);
        assert_eq!(world.read(&format!("again-{out}")), world.read(out));
    }
}

#[test]
fn a_table_has_a_line_for_every_row_and_says_which_one_could_not_be_read() {
    let rows = format!("id,text\n1,a\n2\n3,b,c\n4,{}\n5,d\n", "long ".repeat(200));
    let (_world, read) = through("in.csv", rows, "out.csv", b',');
    let status: Vec<&str> = read.iter().map(|row| row[4].as_str()).collect();
    assert_eq!(status, ["status", "succeeded", "failed", "failed", "failed", "succeeded"]);
    assert_eq!(read[2][6], "bad_row: in.csv:3: has 1 field, the header 2; is a quote or a delimiter missing?");
    assert_eq!((read[4][0].as_str(), read[4][6].split(':').next()), ("4", Some("context_length")));
}

#[test]
fn a_cell_of_a_megabyte_comes_back_whole() {
    let cell = "\"quoted\", and\nmore; ".repeat(50_000);
    let rows = format!("id,text,note\n1,a,\"{}\"\n", cell.replace('"', "\"\""));
    let (_world, read) = through("in.csv", rows, "out.csv", b',');
    assert_eq!(read[1][2], cell);
}

#[test]
fn a_table_without_rows_has_its_header() {
    for rows in ["id,text\n", "id,text", "id,text\r\n\r\n"] {
        let (world, _) = through("in.csv", rows, "out.csv", b',');
        assert_eq!(world.read("out.csv"), "id,text,content,model,status,cost_usd,error\n");
    }
}

#[test]
fn a_name_with_a_delimiter_in_it_does_not_mislead_the_next_reader() {
    let (world, read) = through("in.csv", "\"id, in all, of them\";text\n1;a\n", "out.csv", b';');
    assert_eq!(read[0][0], "id, in all, of them");
    job(&world, "out.csv", "path = \"next.csv\"\nprefix = \"second_\"");
    assert_eq!(world.overnight(&["run", "job.toml"]).code, Some(0));
    assert_eq!(table(&world, "next.csv", b';')[1][..2], ["1", "a"]);
}

#[test]
fn text_that_is_not_utf8_is_told_with_its_place_and_what_to_do() {
    let (world, read) = through("in.csv", b"id,text\n1,caf\xE9\n2,b\n", "out.csv", b',');
    assert_eq!(
        read[1][6].split("; ").next(),
        Some("bad_row: in.csv:2: column \"text\" is not UTF-8 at its byte 3 (0xE9)")
    );
    let error = &world.lines("out.errors.jsonl")[0];
    assert_eq!((&error["error"]["kind"], &error["at"]), (&json!("bad_row"), &json!("in.csv:2")));
    assert!(error["error"]["message"].as_str().unwrap().contains("iconv -f windows-1252 -t utf-8"), "{error}");

    let utf16: Vec<u8> = "\u{feff}id,text\n1,a\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    world.write("in.csv", utf16);
    let ran = world.overnight(&["run", "job.toml"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stderr.contains("in.csv: this is UTF-16 text\n  hint: convert it: `iconv -f utf-16"), "{ran:?}");
}

#[cfg(feature = "parquet")]
mod parquet {
    use std::sync::Arc;

    use ::parquet::arrow::ArrowWriter;
    use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Decimal128Type, Float64Type, Int64Type};
    use arrow_array::{Array, ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
    use arrow_schema::DataType;

    use super::*;

    /// Rows of which each fifth is too long for the model.
    fn write(world: &World, name: &str, ids: std::ops::RangeInclusive<i64>) {
        let text = |n: i64| if n % 5 == 0 { "long ".repeat(200) } else { format!("row {n}") };
        let columns: [(&str, ArrayRef); 3] = [
            ("id", Arc::new(Int64Array::from_iter_values(ids.clone()))),
            ("text", Arc::new(ids.clone().map(|n| Some(text(n))).collect::<StringArray>())),
            ("day", Arc::new(ids.map(|n| (n % 2 == 0).then_some(19_000)).collect::<Date32Array>())),
        ];
        let columns = columns.into_iter().map(|(name, column)| (name, column, true));
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let mut writer = ArrowWriter::try_new(File::create(world.path(name)).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    /// All rows of a file as one batch.
    fn read(world: &World, name: &str) -> RecordBatch {
        let file = File::open(world.path(name)).unwrap();
        let mut reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        reader.next().unwrap().unwrap()
    }

    fn texts(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
        let column = batch.column_by_name(column).unwrap().as_string::<i32>();
        column.iter().map(|text| text.map(str::to_owned)).collect()
    }

    #[test]
    fn a_data_set_goes_in_and_comes_out_with_its_types() {
        let world = world("unused.jsonl", "", "out.parquet");
        job(&world, "in.parquet", "path = \"out.parquet\"");
        write(&world, "in.parquet", 1..=12);
        let ran = world.overnight(&["run", "job.toml", "--json"]);
        assert_eq!((ran.code, &ran.summary()["rows"]["failed"]), (Some(4), &json!(2)), "{ran:?}");
        let out = read(&world, "out.parquet");
        let names: Vec<_> = out.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["id", "text", "day", "content", "model", "status", "cost_usd", "error"]);
        let kinds: Vec<_> = out.schema().fields().iter().map(|field| field.data_type().clone()).collect();
        assert_eq!(kinds[..3], [DataType::Int64, DataType::Utf8, DataType::Date32]);
        assert_eq!(out.num_rows(), 12);
        assert_eq!(out.columns()[..3], read(&world, "in.parquet").columns()[..]);
        let status = texts(&out, "status");
        assert_eq!((status[0].as_deref(), status[4].as_deref()), (Some("succeeded"), Some("failed")));
        assert_eq!(texts(&out, "content")[4], None);
        assert!(texts(&out, "error")[4].as_ref().unwrap().starts_with("context_length: "));
        assert_eq!(out.column_by_name("cost_usd").unwrap().as_primitive::<Decimal128Type>().null_count(), 0);
        assert_eq!(world.lines("out.errors.jsonl")[0]["at"], "in.parquet:5");

        // The same again leaves the file alone; one row more sends that row.
        let before = fs::metadata(world.path("out.parquet")).unwrap().modified().unwrap();
        assert_eq!(world.overnight(&["run", "job.toml", "--json"]).summary()["attempts"], 0);
        assert_eq!(fs::metadata(world.path("out.parquet")).unwrap().modified().unwrap(), before);
        write(&world, "in.parquet", 0..=13);
        let grown = world.overnight(&["run", "job.toml", "--json"]);
        assert_eq!(
            (&grown.summary()["attempts"], read(&world, "out.parquet").num_rows()),
            (&json!(2), 14),
            "{grown:?}"
        );
    }

    #[test]
    fn answers_have_the_types_that_their_schema_gives_them() {
        let world = world("unused.jsonl", "", "out.parquet");
        job(&world, "in.parquet", "path = \"out.parquet\"");
        let schema = r#"
            [tasks.tag.answer.schema]
            type = "object"
            required = ["mood", "stars", "score", "sure", "tags", "who"]
            [tasks.tag.answer.schema.properties]
            mood = { enum = ["good", "bad"] }
            stars = { type = "integer", minimum = 1, maximum = 5 }
            score = { type = "number" }
            sure = { type = "boolean" }
            tags = { type = "array", items = { type = "string" } }
            who = { type = "object", required = ["name", "age"], properties = { name = { type = "string" }, age = { type = "integer" } } }
            "#;
        world.write("job.toml", world.read("job.toml") + schema);
        write(&world, "in.parquet", 1..=12);
        let ran = world.overnight(&["run", "job.toml", "--json"]);
        assert_eq!((ran.code, &ran.summary()["rows"]["failed"]), (Some(4), &json!(2)), "{ran:?}");
        let out = read(&world, "out.parquet");
        let kind = |column: &str| out.column_by_name(column).unwrap().data_type().clone();
        let simple = ["mood", "stars", "score", "sure"].map(kind);
        assert_eq!(simple, [DataType::Utf8, DataType::Int64, DataType::Float64, DataType::Boolean]);
        assert!(matches!(kind("tags"), DataType::List(item) if *item.data_type() == DataType::Utf8));
        let DataType::Struct(who) = kind("who") else { panic!("{:?}", kind("who")) };
        let who: Vec<_> = who.iter().map(|field| (field.name().as_str(), field.data_type())).collect();
        assert_eq!(who, [("name", &DataType::Utf8), ("age", &DataType::Int64)]);

        // A row that failed has none of them, and the others what JSON says.
        let export = world.overnight(&["export", "job.toml", "--format", "jsonl", "-o", "-"]);
        let answers: Vec<Value> = values(&export.stdout).into_iter().map(|line| line["data"].clone()).collect();
        let ended: Vec<usize> = (0..12).filter(|at| (at + 1) % 5 != 0).collect();
        let column = |name: &str| out.column_by_name(name).unwrap();
        assert!(["mood", "stars", "tags", "who"].iter().all(|name| column(name).null_count() == 2));
        let (stars, score) =
            (column("stars").as_primitive::<Int64Type>(), column("score").as_primitive::<Float64Type>());
        let (tags, who) = (column("tags").as_list::<i32>(), column("who").as_struct());
        for (at, answer) in ended.into_iter().zip(&answers) {
            let tags: Vec<Option<String>> =
                tags.value(at).as_string::<i32>().iter().map(|tag| tag.map(str::to_owned)).collect();
            let who = who.column(1).as_primitive::<Int64Type>().value(at);
            let told = json!([texts(&out, "mood")[at], stars.value(at), score.value(at), tags, who]);
            let [mood, stars, score, tags, age] =
                [&answer["mood"], &answer["stars"], &answer["score"], &answer["tags"], &answer["who"]["age"]];
            assert_eq!(told[2].as_f64(), score.as_f64());
            assert_eq!(json!([told[0], told[1], told[3], told[4]]), json!([mood, stars, tags, age]));
        }
    }

    #[test]
    fn exports_and_failed_rows_are_parquet_where_their_name_says_so() {
        let world = world("unused.jsonl", "", "out.jsonl");
        job(&world, "in.parquet", "path = \"out.jsonl\"");
        write(&world, "in.parquet", 1..=12);
        assert_eq!(world.overnight(&["run", "job.toml"]).code, Some(4));
        assert_eq!(world.lines("out.jsonl")[1]["input"], json!({"id": 2, "text": "row 2", "day": "2022-01-08"}));
        let exported = world.overnight(&["export", "job.toml", "-o", "all.parquet"]);
        assert_eq!((exported.code, read(&world, "all.parquet").num_rows()), (Some(0), 12), "{exported:?}");
        let to_pipe = world.command(&["export", "job.toml", "--format", "parquet"]).output().unwrap();
        assert_eq!(to_pipe.stdout, fs::read(world.path("all.parquet")).unwrap());
        world.overnight(&["export", "job.toml", "--failed", "-o", "failed.parquet"]);
        let failed = read(&world, "failed.parquet");
        assert_eq!((failed.num_rows(), failed.schema()), (2, read(&world, "in.parquet").schema()));
        let lines = world.overnight(&["export", "job.toml", "--failed"]).stdout;
        assert_eq!(values(&lines)[1]["id"], 10);
        let again = world.overnight(&["run", "job.toml", "--input", "failed.parquet", "--json"]);
        assert_eq!(again.summary()["rows"]["total"], 2, "{again:?}");
    }

    #[test]
    fn json_and_tables_become_parquet() {
        let rows = "{\"id\":1,\"text\":\"a\",\"tags\":[\"x\"]}\n{\"id\":2,\"text\":\"b\",\"late\":0.5}\nbroken\n";
        let world = world("in.jsonl", rows, "out.parquet");
        assert_eq!(world.overnight(&["run", "job.toml"]).code, Some(4));
        let out = read(&world, "out.parquet");
        let kinds: Vec<_> = out.schema().fields()[..4].iter().map(|field| field.data_type().to_string()).collect();
        assert_eq!((kinds[0].as_str(), kinds[3].as_str()), ("Int64", "Float64"));
        assert!(kinds[2].starts_with("List("), "{kinds:?}");
        assert_eq!(out.num_rows(), 3);
        assert!(texts(&out, "error")[2].as_ref().unwrap().starts_with("bad_row: in.jsonl:3: "), "{out:?}");

        world.write("in.csv", "id,text\n007,a\n");
        job(&world, "in.csv", "path = \"out.parquet\"");
        assert_eq!(world.overnight(&["run", "job.toml"]).code, Some(0));
        assert_eq!(texts(&read(&world, "out.parquet"), "id"), [Some("007".to_owned())]);
    }

    #[test]
    fn a_clash_of_names_and_a_packed_name_are_told_before_anything_is_sent() {
        let world = world("in.csv", "content,text\n1,a\n", "out.parquet");
        let ran = world.overnight(&["run", "job.toml"]);
        assert!(ran.code == Some(3) && ran.stderr.contains("output.prefix"), "{ran:?}");
        job(&world, "in.csv", "path = \"out.parquet.gz\"");
        let ran = world.overnight(&["run", "job.toml"]);
        assert!(ran.code == Some(3) && ran.stderr.contains("is Parquet, which is packed inside"), "{ran:?}");
    }

    #[test]
    fn init_looks_at_parquet() {
        let world = World::new();
        write(&world, "in.parquet", 1..=12);
        let ran = world.overnight(&["init", "in.parquet"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let job = world.read("in.toml");
        assert!(job.contains("in.parquet") && job.contains("{{ text }}"), "{job}");
        let ran = world.overnight(&["run", "in.toml", "--json"]);
        assert_eq!((ran.code, &ran.summary()["rows"]["succeeded"]), (Some(0), &json!(12)), "{ran:?}");
    }
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_build_without_parquet_says_how_to_get_one() {
    let world = world("in.parquet", "PAR1", "out.jsonl");
    let ran = world.overnight(&["run", "job.toml"]);
    assert!(ran.code == Some(3) && ran.stderr.contains("--features parquet"), "{ran:?}");
    world.write("in.csv", "text\na\n");
    job(&world, "in.csv", "path = \"out.parquet\"");
    let ran = world.overnight(&["run", "job.toml"]);
    assert!(ran.code == Some(3) && ran.stderr.contains("--features parquet"), "{ran:?}");
    job(&world, "in.csv", "path = \"out.csv\"");
    assert_eq!(world.overnight(&["run", "job.toml"]).code, Some(0));
    let ran = world.overnight(&["export", "job.toml", "-o", "all.parquet"]);
    assert!(ran.code == Some(3) && ran.stderr.contains("--features parquet"), "{ran:?}");
}
