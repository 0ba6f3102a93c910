//! Settings that can never work are refused before anything is asked.

use super::*;
use crate::identity::shared::Secret;

fn refused(change: impl FnOnce(&mut StoreSettings)) -> String {
    let mut settings = settings(&["https://127.0.0.1:1"]);
    // Not every machine that builds has roots of its own.
    settings.tls.ca = Some(CA.into());
    change(&mut settings);
    Etcd::new(Arc::new(settings)).unwrap_err().to_string()
}

/// Any certificate: nobody has its key any more.
const CA: &str = "-----BEGIN CERTIFICATE-----
MIIBcDCCARegAwIBAgIURSoeszbmfuD8UawY0fip1RvMzJ0wCgYIKoZIzj0EAwIw
DTELMAkGA1UEAwwCY2EwIBcNMjYxMTI0MjA0MDQzWhgPMjEyNjEwMzEyMDQwNDNa
MA0xCzAJBgNVBAMMAmNhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEh+lg9Gky
+2fml6hrU12gqIPUJh6G7wsT8j+YF2HbdxxAAdw2gkSAc4UQ6vEvJNX4A63zhPsp
4FDv+GvivumxVaNTMFEwHQYDVR0OBBYEFNw8y/YnFh655AWnHSQjgIt1Zm3PMB8G
A1UdIwQYMBaAFNw8y/YnFh655AWnHSQjgIt1Zm3PMA8GA1UdEwEB/wQFMAMBAf8w
CgYIKoZIzj0EAwIDRwAwRAIgIszzFMv/ADZGchzZ1hwAfP2p+J+WzEt0o+GFn9O5
OuQCIBIhaRnX+UxPES2B/yMvmlRpsCs6wOr789YMomcT2fyr
-----END CERTIFICATE-----
";

#[test]
fn what_cannot_work_is_refused_with_its_reason() {
    let secret = |text: &str| Some(Secret::new(text.into()));
    let text = refused(|of| of.endpoints[0].scheme = None);
    assert!(text.contains("http://") && text.contains("127.0.0.1:1"), "{text}");
    let text = refused(|of| of.endpoints.clear());
    assert!(text.contains("address"), "{text}");
    let text = refused(|of| of.credentials.username = Some("me".into()));
    assert!(text.contains("password"), "{text}");
    let text = refused(|of| of.credentials.password = secret("hunter2"));
    assert!(text.contains("username") && !text.contains("hunter2"), "{text}");
    let text = refused(|of| of.credentials.token = secret("hunter2"));
    assert!(text.contains("token") && !text.contains("hunter2"), "{text}");
    for ca in ["", "garbage", "-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n"] {
        let text = refused(|of| of.tls.ca = Some(ca.into()));
        assert!(text.contains("https://127.0.0.1:1"), "{text}");
    }
    for (certificate, key) in [("garbage", "garbage"), (CA, "garbage"), (CA, CA)] {
        let identity = (certificate.as_bytes().to_vec(), Secret::new(key.into()));
        let text = refused(|of| of.tls.identity = Some(identity));
        assert!(text.contains("https://127.0.0.1:1"), "{text}");
    }
}

#[test]
fn nothing_is_connected_to_and_no_secret_is_shown() {
    let mut settings = settings(&["https://127.0.0.1:1", "http://127.0.0.1:1"]);
    settings.tls.ca = Some(CA.into());
    settings.credentials.username = Some("me".into());
    settings.credentials.password = Some(Secret::new("hunter2".into()));
    let etcd = client(settings);
    assert!(!format!("{etcd:?}").contains("hunter2"));
    assert_eq!(etcd.session(), 0);
}
