//! Sealing a draft: with a signature that is made here, made elsewhere, or was made before.

use std::sync::Arc;

use bytes::Bytes;
use futures_lite::future;
use hc_merkle::{Change, Draft, Head, Verifier};

use super::lane::Guard;
use super::{Core, Writer};
use crate::session::Handle;
use crate::signer::{ExternalSigner, SealError};

/// How a change is to be signed.
#[derive(Debug, Clone, Default)]
pub(crate) enum Seal {
    /// By whoever signs for the log here.
    #[default]
    Own,
    /// By this one.
    By(Arc<dyn ExternalSigner>),
    /// It is signed already: the signature as it stands in proofs.
    Given(Bytes),
}

impl Core {
    /// Whether somebody here can sign.
    pub(crate) fn can_sign(&self) -> bool {
        self.writer.get().is_some() || self.external.is_some()
    }

    /// Signs a draft, unless it is the prologue of the log, which needs no signature. Gives the turn
    /// back, which was kept meanwhile.
    pub(crate) async fn seal(
        &self,
        handle: &Handle,
        guard: Guard,
        verifier: &Verifier,
        draft: Draft,
        how: &Seal,
    ) -> Result<(Guard, Change), SealError> {
        let head = draft.head();
        let prologue = verifier.prologue();
        if prologue.is_some_and(|prologue| head.length() <= prologue.length) {
            verifier.verify(&head)?;
            return Ok((guard, draft.seal_unsigned()));
        }
        let pair = handle.defaults.key_pair.as_deref();
        let external = match how {
            Seal::Own => self.external.as_ref().filter(|_| pair.is_none()),
            Seal::By(signer) => Some(signer),
            Seal::Given(signature) => {
                check(verifier, &head, signature.clone())?;
                return sealed(guard, draft, signature.clone());
            }
        };
        let Some(external) = external else {
            let writer = pair.or_else(|| self.writer.get().map(Writer::pair));
            let writer = writer.ok_or(SealError::NotWritable)?;
            let signature = verifier.sign(writer, &head.signed_tree())?;
            return sealed(guard, draft, signature);
        };
        let parked = guard.park();
        let asked = ask(verifier, &head, &**external);
        let closed = async {
            handle.gate.closed().await;
            Err(SealError::Closed)
        };
        let signature = future::or(asked, closed).await?;
        let guard = parked.resume().map_err(|_| SealError::Closed)?;
        sealed(guard, draft, signature)
    }
}

/// Has a head signed, and checks what comes back: nobody knows what is at the other end.
async fn ask(
    verifier: &Verifier,
    head: &Head,
    signer: &dyn ExternalSigner,
) -> Result<Bytes, SealError> {
    verifier.check_alone()?;
    let public_key = signer.public_key();
    let signable = verifier.signable(&public_key, &head.signed_tree())?;
    let signature = signer.sign(signable.as_bytes()).await;
    let signature = verifier.seal(&public_key, signature.map_err(SealError::Signer)?)?;
    check(verifier, head, signature.clone())?;
    Ok(signature)
}

fn check(verifier: &Verifier, head: &Head, signature: Bytes) -> Result<(), SealError> {
    Ok(verifier.verify(&head.clone().with_signature(signature))?)
}

fn sealed(guard: Guard, draft: Draft, signature: Bytes) -> Result<(Guard, Change), SealError> {
    Ok((guard, draft.seal(|_| Ok::<_, SealError>(signature))?))
}
