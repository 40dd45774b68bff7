//! Whether a delivery is from whom it says: each service's own signature, compared in constant time.

use hmac::{Hmac, KeyInit, Mac};
use poem::http::HeaderMap;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::config::Service;

/// A delivery as it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery<'a> {
    /// Its headers.
    pub(crate) headers: &'a HeaderMap,
    /// Its body, whole.
    pub(crate) body: &'a [u8],
}

/// The signature is missing, there twice, malformed or wrong; which of them is nobody's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SignatureError;

impl Delivery<'_> {
    /// - GitHub: `X-Hub-Signature-256: sha256=HEX`, HMAC-SHA-256 of the body.
    /// - Gitea, Forgejo: the same digest in `X-Gitea-Signature` or `X-Forgejo-Signature`, bare.
    /// - GitLab: the secret itself in `X-Gitlab-Token`; it signs no body.
    pub(super) fn verify(&self, service: Service, secret: &[u8]) -> Result<(), SignatureError> {
        match service {
            Service::Github => {
                let value = self.header("x-hub-signature-256")?;
                let value = value.strip_prefix(b"sha256=").ok_or(SignatureError)?;
                self.verify_digest(value, secret)
            }
            Service::Gitea => self.verify_digest(self.header("x-gitea-signature")?, secret),
            Service::Forgejo => {
                let own = self.header("x-forgejo-signature");
                self.verify_digest(own.or_else(|_| self.header("x-gitea-signature"))?, secret)
            }
            Service::Gitlab => {
                let same = self.header("x-gitlab-token")?.ct_eq(secret);
                bool::from(same).then_some(()).ok_or(SignatureError)
            }
        }
    }

    fn verify_digest(&self, digits: &[u8], secret: &[u8]) -> Result<(), SignatureError> {
        let digest = hex::decode(digits).map_err(|_| SignatureError)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| SignatureError)?;
        mac.update(self.body);
        mac.verify_slice(&digest).map_err(|_| SignatureError)
    }

    /// A header that is there once.
    fn header(&self, name: &str) -> Result<&[u8], SignatureError> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value.as_bytes()),
            _ => Err(SignatureError),
        }
    }
}

#[cfg(test)]
mod tests {
    use poem::http::{HeaderName, HeaderValue};

    use super::*;

    /// GitHub's own example: docs.github.com, "Validating webhook deliveries", testing the validation.
    const SECRET: &[u8] = b"It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const DIGEST: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn verified(service: Service, headers: &[(&'static str, &str)], body: &[u8]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        Delivery { headers: &map, body }.verify(service, SECRET).is_ok()
    }

    #[test]
    fn each_service_is_known_by_its_own_header() {
        let prefixed = format!("sha256={DIGEST}");
        let secret = str::from_utf8(SECRET).unwrap();
        let good = [
            (Service::Github, "x-hub-signature-256", prefixed.as_str()),
            (Service::Gitea, "x-gitea-signature", DIGEST),
            (Service::Forgejo, "x-forgejo-signature", DIGEST),
            (Service::Forgejo, "x-gitea-signature", DIGEST),
            (Service::Gitlab, "x-gitlab-token", secret),
        ];
        for (service, header, value) in good {
            assert!(verified(service, &[(header, value)], BODY), "{header}");
            assert!(
                !verified(service, &[(header, value), (header, value)], BODY),
                "{header} twice"
            );
            assert!(!verified(service, &[], BODY), "no {header}");
            for wrong in
                ["", "sha256=", &value[1..], &format!("{value}0"), &value.replace(['5', 'e'], "4")]
            {
                assert!(!verified(service, &[(header, wrong)], BODY), "{header}: {wrong}");
            }
            if service != Service::Gitlab {
                assert!(!verified(service, &[(header, value)], b"Hello, World?"), "{header}");
            }
        }
        assert!(!verified(Service::Github, &[("x-gitea-signature", DIGEST)], BODY));
        assert!(!verified(Service::Github, &[("x-hub-signature-256", DIGEST)], BODY));
        assert!(!verified(Service::Gitlab, &[("x-hub-signature-256", &prefixed)], BODY));
    }
}
