import IOMMU
import LinuxIO

/// `vsmmu.ring_open` and `vsmmu.ring_close`.
extension SMMUModels {
    /// The memory itself, what is handed out of it, and two eventfds.
    private static let descriptorsOfRing: UInt64 = 4

    /// `vsmmu.ring_open`: one ring at a time.
    ///
    /// - Throws: `ENOENT`; `EBUSY` if it has one, `EDQUOT`, `EMFILE`, `ENOMEM`, `EAGAIN` without signals.
    package func openRing(
        _ id: ObjectID, entries: Int, loop: EventLoop, user: UInt32
    ) throws(IOMMUError) -> any BareSMMURing {
        let vsmmu = try vsmmu(id)
        guard vsmmu.ring == nil else {
            throw IOMMUError(
                .EBUSY, .ringExists, "bare SMMU \(id) has a ring already",
                hint: "close that with vsmmu.ring_close first", ["vsmmu": .number(UInt64(id))])
        }
        let layout = RingLayout(atLeast: entries)
        try owner.chargeDescriptors(Self.descriptorsOfRing)
        do throws(IOMMUError) {
            try owner.chargeMemory(layout.bytes)
        } catch {
            owner.releaseDescriptors(Self.descriptorsOfRing)
            throw error
        }
        do throws(IOMMUError) {
            let ring = try TranslationRing(layout, of: vsmmu, self, loop: loop, user: user)
            vsmmu.ring = ring
            return ring
        } catch {
            release(layout)
            throw error
        }
    }

    /// `vsmmu.ring_close`; `ENOENT` for an unknown SMMU, or one that has no ring.
    package func closeRing(_ id: ObjectID) throws(IOMMUError) {
        guard let ring = try vsmmu(id).ring else {
            throw IOMMUError(
                .ENOENT, .noRing, "bare SMMU \(id) has no ring", hint: "open one with vsmmu.ring_open",
                ["vsmmu": .number(UInt64(id))])
        }
        ring.close()
    }

    /// Whether the client of the SMMU's ring has acknowledged what it was told.
    package func isAcknowledged(_ id: ObjectID, orThen body: @escaping () -> Void) -> Bool {
        guard let ring = vsmmus[id]?.ring, !ring.isAcknowledged else { return true }
        ring.whenAcknowledged(body)
        return false
    }

    /// What its client may not know the next call is told, in one word.
    func ringHasEnded(_ ring: TranslationRing, of vsmmu: VirtualSMMU, isUpToDate: Bool) {
        release(ring.layout)
        vsmmu.ring = nil
        if !isUpToDate { vsmmu.notices.lose(1) }
    }

    private func release(_ layout: RingLayout) {
        owner.releaseMemory(layout.bytes)
        owner.releaseDescriptors(Self.descriptorsOfRing)
    }
}
