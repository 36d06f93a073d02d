//! What can be wrong with a provider's settings.

/// A provider that cannot be called as it is set up. No message shows a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// `base_url` is no URL that can be called.
    #[error("provider `{provider}`: base_url: {message} (it looks like https://api.example.com/v1)")]
    BaseUrl {
        /// The provider's name.
        provider: String,
        /// What is wrong.
        message: String,
    },
    /// The API key cannot stand in a header.
    #[error("provider `{provider}`: the API key holds a character that no header may hold (a line break?)")]
    ApiKey {
        /// The provider's name.
        provider: String,
    },
    /// A further header cannot be sent.
    #[error("provider `{provider}`: header `{header}`: {message}")]
    Header {
        /// The provider's name.
        provider: String,
        /// The header's name.
        header: String,
        /// What is wrong.
        message: String,
    },
    /// The client cannot be made: no root certificates, a proxy that is no URL.
    #[error("provider `{provider}`: cannot set up HTTP: {message} (SSL_CERT_FILE names a file of root certificates)")]
    Client {
        /// The provider's name.
        provider: String,
        /// What is wrong.
        message: String,
    },
}
