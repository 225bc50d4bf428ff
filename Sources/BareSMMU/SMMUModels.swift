import Glibc
import IOMMU
import IOMMUObjects
import LinuxIO
import SMMUFacts
import SMMUv3

/// The SMMUv3 models of one context: `vsmmu.*`. They stand beside any backend and need nothing but memory objects.
package final class SMMUModels: BareSMMUs {
    unowned let owner: any MemoryOwner
    private(set) var vsmmus = IDTable<VirtualSMMU>()
    /// Whether there is something for ``takeNotices(of:)``.
    package internal(set) var hasNotices = false

    /// - Parameter owner: has the memory, and is charged for the models; it outlives them.
    package init(owner: any MemoryOwner) { self.owner = owner }

    func vsmmu(_ id: ObjectID) throws(IOMMUError) -> VirtualSMMU {
        guard let vsmmu = vsmmus[id] else { throw .unknown(.unknownVSMMU, "bare SMMU", id, key: "vsmmu") }
        return vsmmu
    }

    /// `vsmmu.create`: a device out of reset.
    ///
    /// - Parameters:
    ///   - identity: whose ID registers it has.
    ///   - overrides: whole words in the place of those.
    /// - Throws: `EINVAL` naming the field that cannot be, or that the model cannot honour; `EDQUOT`.
    package func createVSMMU(
        _ identity: BareIdentity = .standard, overrides: [IDRegister: UInt32] = [:]
    ) throws(IOMMUError) -> ObjectID {
        guard vsmmus.count < owner.limits.vsmmus else {
            throw .overLimit(owner.limits.vsmmus, of: "SMMU models", key: "vsmmus_per_session")
        }
        let vsmmu = try VirtualSMMU(Identification(identity, overrides: overrides))
        try owner.chargeObject(descriptors: 0)
        vsmmu.id = vsmmus.insert(vsmmu)
        return vsmmu.id
    }

    /// `vsmmu.reset`: registers as after create, caches empty, stalls terminated; id, memory and eventfds stay.
    package func resetVSMMU(_ id: ObjectID) throws(IOMMUError) {
        let vsmmu = try vsmmu(id)
        vsmmu.reset()
        lookForNotices(of: vsmmu)
    }

    /// `vsmmu.destroy`
    package func destroyVSMMU(_ id: ObjectID) throws(IOMMUError) {
        remove(id, try vsmmu(id))
    }

    func remove(_ id: ObjectID, _ vsmmu: VirtualSMMU) {
        vsmmu.ring?.close()
        owner.releaseRanges(UInt64(vsmmu.memory.count))
        vsmmu.memory.removeAll()
        owner.releaseDescriptors(UInt64(vsmmu.signalCount))
        vsmmus.remove(id)
        owner.releaseObject(descriptors: 0)
    }

    /// `vsmmu.memory`: guest memory at a guest physical address.
    ///
    /// - Throws: `EINVAL` for misalignment or a range outside the memory object, `EEXIST` for an overlap.
    package func mapVSMMUMemory(
        _ id: ObjectID, memory memoryID: ObjectID, offset: UInt64, length: UInt64, gpa: UInt64
    ) throws(IOMMUError) {
        let vsmmu = try vsmmu(id)
        let memory = try owner.memory(memoryID)
        guard (gpa | offset | length) & 0xfff == 0, let addresses = AddressRange(start: gpa, length: length),
            offset < memory.size, length <= (memory.size &- offset &+ 0xfff) & ~0xfff
        else {
            throw IOMMUError(
                .EINVAL, .badRange,
                "\(span(length, at: offset)) of memory object \(memoryID) are not whole pages inside it",
                hint: "make gpa, offset and length multiples of 0x1000 that end within its size",
                [
                    "gpa": .hex(gpa), "offset": .hex(offset), "length": .hex(length),
                    "memory": .number(UInt64(memoryID)), "size": .hex(memory.size),
                ]
            )
        }
        guard vsmmu.memory.count < owner.limits.mappings else {
            throw .overLimit(owner.limits.mappings, of: "ranges", in: "the guest memory", key: "mappings_per_session")
        }
        try owner.chargeRanges(1)
        do throws(IOMMUError) {
            try vsmmu.memory.insert(addresses, memory, id: memoryID, offset: offset)
        } catch {
            owner.releaseRanges(1)
            throw error
        }
    }

    /// `vsmmu.unmap_memory`: the whole range that begins there; `ENOENT` if none does.
    package func unmapVSMMUMemory(_ id: ObjectID, gpa: UInt64) throws(IOMMUError) {
        guard try vsmmu(id).memory.remove(startingAt: gpa) else {
            throw IOMMUError(
                .ENOENT, .noGuestMemory, "no guest memory begins at \(hexadecimal(gpa))",
                hint: "give the gpa that vsmmu.memory was called with", ["gpa": .hex(gpa)])
        }
        owner.releaseRanges(1)
    }

    /// `vsmmu.mmio_read`: 4 or 8 bytes of pages 0 and 1, or of the counters' page 0.
    package func mmioRead(
        _ id: ObjectID, page: BareRegisterPage = .smmu, offset: UInt64, size: Int
    ) throws(IOMMUError) -> UInt64 {
        let vsmmu = try vsmmu(id)
        let value = try vsmmu.read(page, offset, size: size)
        // Cycles that are counted when they are read can signal an overflow.
        if page == .pmcg0 {
            vsmmu.deliver()
            lookForNotices(of: vsmmu)
        }
        return value
    }

    /// `vsmmu.set_irq`: signals an eventfd at each interrupt; nil stops.
    ///
    /// - Throws: `EINVAL` for what is no eventfd, `EAGAIN` or `EMFILE` where it could not be signalled, `EDQUOT` beyond
    ///   the user's descriptors.
    package func setVSMMUInterrupt(
        _ id: ObjectID, _ interrupt: BareInterrupt, descriptor: consuming Descriptor?
    ) throws(IOMMUError) {
        let line: Interrupt =
            switch interrupt {
            case .evtq: .eventQueue
            case .priq: .priQueue
            case .commandSync: .commandSync
            case .gerror: .globalError
            case .pmcg0: .monitors
            }
        let vsmmu = try vsmmu(id)
        let had = vsmmu.hasSignal(line)
        guard let descriptor else {
            try vsmmu.setSignal(line, nil)
            return owner.releaseDescriptors(had ? 1 : 0)
        }
        try owner.chargeDescriptors(had ? 0 : 1)
        do {
            try vsmmu.setSignal(line, descriptor)
        } catch {
            owner.releaseDescriptors(had ? 0 : 1)
            throw error
        }
    }
}
