import IOMMU
import IOMMUObjects
import LinuxIO

/// What the emulated machine adds to the object model of one session: DMA of its devices, address spaces of processes
/// that they share, queues of accelerators.
package final class EmulatedContext {
    /// The session whose context this extends; it outlives this.
    package unowned let context: ObjectContext
    /// The machine; it outlives its contexts.
    package unowned let backend: EmulatedBackend
    /// What its user's sessions hold together.
    let account: Account
    var limits: ContextLimits { context.limits }
    /// Accesses and look-ups that are under way.
    let pending = PendingOperations()
    /// Processes are being asked whether they have what is to be mapped.
    var lendingCheck: LendingCheck?
    /// Made at the first use.
    private var session: SVASession?

    init(_ context: ObjectContext, backend: EmulatedBackend) {
        self.context = context
        self.backend = backend
        account = context.account
    }

    /// What this context shares with devices; made at the first use.
    package var sva: SVASession {
        if let session { return session }
        let made = SVASession(context: context, manager: backend.sva)
        session = made
        return made
    }

    /// Whether there may be anything in ``sva``.
    var hasSharing: Bool { session != nil }

    /// The device behind a device object: `ENOENT` for an unknown id, `ENODEV` once it has been unplugged.
    package func device(_ id: ObjectID) throws(IOMMUError) -> EmulatedDevice {
        try backend.hardware(of: context.device(id))
    }
}

extension EmulatedContext: ContextCompanion {
    /// Address spaces, bonds and queues of the session.
    package var objectCount: Int { session?.objectCount ?? 0 }

    /// Address spaces, bonds and queues of the session, each in id order.
    package func listing() -> ObjectListing { session?.listing() ?? ObjectListing() }

    /// The session gives the device back: its bonds and queues end.
    package func release(device: Device) { session?.release(device: device) }

    /// Ends accesses that wait with `ECANCELED`, then frees queues, bonds and address spaces.
    package func close() {
        pending.terminateAll(with: .sessionClosed)
        session?.close()
        session = nil
    }

    /// As ``close()``, bond by bond.
    package func close(_ budget: inout TurnBudget) -> Bool {
        pending.terminateAll(with: .sessionClosed)
        guard session?.close(&budget) ?? true else { return false }
        session = nil
        return true
    }
}
