//! Tokens by script: what a byte of each kind comes to, on average, with the tokenizers in use today.

/// Weights are in so many parts of a token.
const PARTS: u64 = 1_000;

/// Letters and blanks of prose: a word with its blank is a token, a long one two.
const LETTER: u16 = 205;
const DIGIT: u16 = 520;
const MARK: u16 = 720;
const LINE_END: u16 = 700;

/// The first byte of a character weighs for all of it; those that follow weigh nothing.
static WEIGHTS: [u16; 256] = weights();

const fn weights() -> [u16; 256] {
    let mut weights = [0; 256];
    let mut byte = 0_u8;
    loop {
        weights[byte as usize] = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b' ' => LETTER,
            b'0'..=b'9' => DIGIT,
            b'\n' | b'\r' | b'\t' => LINE_END,
            0..=0x7f => MARK,
            // They follow the first byte of a character.
            0x80..=0xbf => 0,
            // Latin with accents.
            0xc0..=0xc9 => 560,
            // Greek, Cyrillic, Hebrew, Arabic.
            0xca..=0xdf => 290,
            // The scripts of India and South-East Asia.
            0xe0..=0xe1 => 450,
            // Chinese and Japanese.
            0xe3..=0xe9 => 780,
            // Quotation marks, dashes and other signs; Korean.
            0xe2 | 0xea..=0xed => 700,
            0xee..=0xef => 900,
            // Pictures and rare signs.
            0xf0..=0xff => 1_800,
        };
        if byte == u8::MAX {
            return weights;
        }
        byte += 1;
    }
}

/// What a text weighs.
pub(super) fn weigh(text: &str) -> u64 {
    text.bytes().map(|byte| u64::from(WEIGHTS[usize::from(byte)])).sum()
}

/// So much weight in tokens.
pub(super) fn tokens(weight: u64) -> u64 {
    weight.div_ceil(PARTS)
}
