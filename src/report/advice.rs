//! What to do about each kind of failure.

use crate::types::FailureKind;

/// One sentence on what to do about rows that failed like this.
#[must_use]
pub fn advice(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::BadRow => "mend these records in the input, or raise input.max_row if they are only long",
        FailureKind::Template => "give these rows the column that the prompt asks for, or a default in the template",
        FailureKind::NoRoute => "add a [tasks.*] table for their task type, or a [tasks.default] for all others",
        FailureKind::RateLimited => "run again later, or set the model's limits lower than the provider's",
        FailureKind::Overloaded => "run again when the provider has room, or give the task a fallback",
        FailureKind::ServerError => {
            "run again: such failures pass; a fallback at another provider helps where they stay"
        }
        FailureKind::Timeout => "raise the provider's timeout.attempt, lower max_tokens, or give the task a fallback",
        FailureKind::Connection => "check the network and the provider's base_url, then run again",
        FailureKind::MalformedReply => "run again; where it stays, the base_url may not speak the OpenAI protocol",
        FailureKind::Empty => "raise max_tokens (reasoning can use them all up), or give the task a fallback",
        FailureKind::ContextLength => "give the task a fallback with a larger context, or shorten the prompt",
        FailureKind::TooLarge => "split these rows, or raise the token limit that they are over",
        FailureKind::ContentFilter => "look at these rows, or give the task a fallback at another provider",
        FailureKind::Refusal => "reword the prompt, or give the task a fallback that does not refuse",
        FailureKind::InvalidRequest => "read the message: most often a param in the job that this model does not take",
        FailureKind::Auth => "set the right key in the provider's api_key_env, then run again",
        FailureKind::Permission => "let the key use this model, or route the task to another, then run again",
        FailureKind::QuotaExhausted => "top up the account or raise its quota, then run again",
        FailureKind::DailyQuota => "run again tomorrow, or give the task a fallback for today",
        FailureKind::ModelNotFound => "correct the model's name on the wire, then run again",
        FailureKind::InvalidAnswer => {
            "make the prompt say what is wanted, allow more tries, or route to a stronger model"
        }
        FailureKind::RowTimeout => "raise the provider's timeout.row, or give the task a faster fallback",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_sentence_of_its_own() {
        let sentences: std::collections::BTreeSet<&str> = FailureKind::ALL.map(advice).into_iter().collect();
        assert_eq!(sentences.len(), FailureKind::ALL.len());
    }
}
