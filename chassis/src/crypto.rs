//! The cryptography of TLS.

/// Makes ring the provider of rustls for this process, which every use of TLS needs first. Further calls change nothing.
pub fn use_ring() {
    // Fails if a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
