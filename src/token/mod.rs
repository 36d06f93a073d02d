//! How many tokens a request has: by its scripts where nobody's tokenizer is known, and exactly for the model families whose
//! tokenizer is public.
//!
//! Owns what texts come to in tokens, and what a chat adds to them. Does not know models of the job, prices or limits, nor
//! what providers counted so far: whoever asks corrects an estimate by that. No call waits for it: a run reserves limits
//! and money by simpler means.

mod estimate;
mod exact;
mod texts;

pub use exact::Tokenizer;

use texts::Read;

/// What stands around each message of a chat: its role, and what begins and ends it.
const AROUND_A_MESSAGE: u64 = 4;
/// What a chat ends with, so that the model answers.
const AROUND_A_CHAT: u64 = 3;
/// About what providers count for a picture of a page's size.
const PICTURE: u64 = 765;

/// The tokens of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenCount {
    /// Of its texts.
    pub texts: u64,
    /// Of what stands around them: roles, marks and pictures.
    pub around: u64,
}

impl TokenCount {
    /// All of them.
    #[must_use]
    pub fn total(self) -> u64 {
        self.texts + self.around
    }

    fn new(texts: u64, read: Read) -> Self {
        let chat = if read.messages > 0 { AROUND_A_CHAT + AROUND_A_MESSAGE * read.messages } else { 0 };
        Self { texts, around: chat + PICTURE * read.pictures }
    }
}

/// Estimates a request, given as the JSON of its messages, by the scripts that it is written in.
#[must_use]
pub fn estimated(request: &str) -> TokenCount {
    let mut weight = 0;
    let read = texts::read(request, &mut |text| weight += estimate::weigh(text));
    TokenCount::new(estimate::tokens(weight), read)
}

/// Counts a request as this tokenizer does.
#[must_use]
pub fn exactly(request: &str, tokenizer: Tokenizer) -> TokenCount {
    let mut tokens = 0;
    let read = texts::read(request, &mut |text| tokens += tokenizer.count(text));
    TokenCount::new(tokens, read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_counts_its_texts_and_what_stands_around_them() {
        let chat = r#"[{"role":"system","content":"Be brief."},{"role":"user","content":"Hello there"}]"#;
        let count = estimated(chat);
        assert_eq!(count.around, 3 + 2 * 4);
        assert!((3..=8).contains(&count.texts), "{count:?}");
        assert_eq!(estimated("\"Hello there\"").around, 0, "a text to embed is no chat");
    }

    #[cfg(feature = "tokenizer")]
    #[test]
    fn estimates_are_near_what_a_tokenizer_of_today_counts() {
        const TEXTS: [&str; 8] = [
            "The parcel arrived two days late, but the seller answered at once and sent a new one. I would order there again, though next time I will ask for another carrier.",
            "Die Lieferung kam zwei Tage zu spät, aber der Verkäufer hat sofort geantwortet und eine neue geschickt. Ich würde dort wieder bestellen.",
            "Le colis est arrivé avec deux jours de retard, mais le vendeur a répondu tout de suite et en a envoyé un autre.",
            "Посылка пришла на два дня позже, но продавец сразу ответил и отправил новую. Я бы заказал там снова.",
            "包裹晚了两天才到，但是卖家马上回复了我，并且又寄了一个新的。我还会再在那里订购。",
            "荷物は二日遅れて届きましたが、販売者はすぐに返信し、新しいものを送ってくれました。",
            "for (let i = 0; i < rows.length; i++) {\n    if (rows[i].price > 10) { sum += rows[i].price * 1.19; }\n}\nreturn { sum, count: rows.length };",
            "id,date,amount,currency\n1001,2026-03-01,129.90,EUR\n1002,2026-03-02,54.00,USD\n1003,2026-03-02,7.25,EUR",
        ];
        let told = |text: &&str| (estimate::tokens(estimate::weigh(text)), Tokenizer::O200k.count(text));
        let told: Vec<(u64, u64)> = TEXTS.iter().map(told).collect();
        assert!(told.iter().all(|(estimated, exact)| estimated.abs_diff(*exact) * 5 <= *exact), "{told:?}");
    }

    #[test]
    fn pictures_are_not_counted_by_their_bytes() {
        let picture = format!("data:image/png;base64,{}", "A".repeat(100_000));
        let chat = format!(
            r#"[{{"role":"user","content":[{{"type":"text","text":"What is it?"}},{{"type":"image_url","image_url":{{"url":"{picture}"}}}}]}}]"#
        );
        let count = estimated(&chat);
        assert_eq!(count.around, 3 + 4 + PICTURE);
        assert!(count.texts < 8, "{count:?}");
    }
}
