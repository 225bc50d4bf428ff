import LinuxIO

/// ``Capability/sharedAddressing``: devices that use the virtual addresses of processes.
package protocol SharedAddressing: WaitingWork {
    // MARK: Address spaces

    /// `mm.open` by pid: the address space of that process now; one that is shared has one id.
    ///
    /// - Parameter completion: called once, later, where the answer is `pending`: a process can be slow to look into.
    /// - Throws: `ESRCH` for no such process or one without memory, `EPERM` naming what is missing, `EDQUOT`.
    func openMM(
        pid: Int32, by client: ClientIdentity, completion: @escaping (Result<ObjectID, IOMMUError>) -> Void
    ) throws(IOMMUError) -> Progress<ObjectID>
    /// `mm.open` with a pidfd. As by pid.
    func openMM(
        pidfd: consuming Descriptor, by client: ClientIdentity,
        completion: @escaping (Result<ObjectID, IOMMUError>) -> Void
    ) throws(IOMMUError) -> Progress<ObjectID>
    /// `mm.open` with a process's own `/proc/self/mem` and `maps`.
    ///
    /// - Throws: `EINVAL` if they are not that, or of two processes; `ESRCH` once the address space has ended.
    func openMM(
        mem: consuming Descriptor, maps: consuming Descriptor,
        completion: @escaping (Result<ObjectID, IOMMUError>) -> Void
    ) throws(IOMMUError) -> Progress<ObjectID>
    /// Whether a descriptor is a pidfd, of a process that lives or not.
    func isPidfd(_ descriptor: borrowing Descriptor) -> Bool

    /// Finds out whether an address space still lives, for calls that are to be refused if it does not.
    ///
    /// - Parameter completion: called once, later, where the answer is `pending`: what lives cannot always be asked at
    ///   once.
    /// - Throws: `ENOENT`.
    func look(
        at mm: ObjectID, completion: @escaping (Result<Void, IOMMUError>) -> Void
    ) throws(IOMMUError) -> Progress<Void>

    /// `mm.create`: a synthetic address space. `EDQUOT` for too many objects.
    func createMM() throws(IOMMUError) -> ObjectID
    /// `mm.map` of whole pages below 2⁴⁸ in a synthetic one.
    ///
    /// - Parameter populate: the pages are there at once; else the first access of a device faults them in.
    /// - Throws: `ENOENT` for an unknown id; `EINVAL` for misalignment, no access, a range outside the memory or a
    ///   process's mm; `EEXIST` for an overlap, `EPERM` for writable read-only memory, `ESRCH` after its end, `EDQUOT`.
    func mapMM(
        _ mm: ObjectID, va: UInt64, memory: ObjectID, offset: UInt64, length: UInt64, access: Access, populate: Bool
    ) throws(IOMMUError)
    /// `mm.unmap`: what lies in the range goes, as with munmap(2).
    ///
    /// - Throws: `ENOENT`; `EINVAL` for misalignment or a process's mm; `EDQUOT` where an area would become two.
    func beginUnmapMM(_ mm: ObjectID, va: UInt64, length: UInt64) throws(IOMMUError) -> Answer<Void>
    /// `mm.exit`: as if its last process had exited; again changes nothing. `ENOENT`; `EINVAL` for a process's mm.
    func exitMM(_ mm: ObjectID) throws(IOMMUError)
    /// `mm.close`. `ENOENT`; `EBUSY` while this session has it bound.
    func closeMM(_ mm: ObjectID) throws(IOMMUError)

    // MARK: Bonds

    /// `sva.bind`: one bond for each device and address space, counted.
    ///
    /// - Throws: `ENOENT` for an unknown id, `ENODEV` for a device without PASIDs or page faults, `ESRCH` after the end
    ///   of the address space, `ENOSPC` without a PASID or ASID, `EDQUOT`, `ENOMEM`.
    func bindSVA(device: ObjectID, mm: ObjectID) throws(IOMMUError) -> (bond: ObjectID, pasid: UInt32, asid: UInt32)
    /// `sva.unbind`. `ENOENT`; `EBUSY` while only queues hold it. - Returns: users left; 0: its PASID is free.
    func unbindSVA(bond: ObjectID) throws(IOMMUError) -> Int
    /// `sva.list`, in id order.
    func bonds() -> [BondDescription]
}

/// A device and an address space that it uses.
package struct BondDescription: Sendable, Equatable {
    /// Its id.
    package var bond: ObjectID
    /// nil once the session has unbound the device.
    package var device: ObjectID?
    /// The address space.
    package var mm: ObjectID
    /// What the device's accesses carry.
    package var pasid: UInt32
    /// What the TLB knows the address space by.
    package var asid: UInt32
    /// Binds and queues.
    package var users: Int
    /// "live", "quiesced" once the address space has ended, "gone" once the device has.
    package var state: String
    /// CPU invalidations reach the SMMU by themselves.
    package var btm: Bool

    /// With these properties.
    package init(
        bond: ObjectID, device: ObjectID?, mm: ObjectID, pasid: UInt32, asid: UInt32, users: Int, state: String,
        btm: Bool
    ) {
        (self.bond, self.device, self.mm) = (bond, device, mm)
        (self.pasid, self.asid) = (pasid, asid)
        (self.users, self.state, self.btm) = (users, state, btm)
    }
}

/// A backend that has to look whether address spaces still live, since nothing tells it.
package protocol AddressSpaceProbing: AnyObject {
    /// Whether there is any that has to be looked at.
    var needsProbing: Bool { get }
    /// How long an end may go unnoticed at most, in nanoseconds; who looks at regular times takes half of it.
    var probeInterval: UInt64 { get }
    /// Looks now; what has ended is quiesced and announced.
    func probeAddressSpaces()
}

/// ``Capability/tlbBroadcast``: TLB invalidations in the place of the CPUs.
package protocol TLBBroadcast: AnyObject {
    /// `cpu.tlbi`: what SMMUs with BTM hear.
    ///
    /// - Parameters:
    ///   - va: nil: the whole address space.
    ///   - length: bytes; nil: one page of 4096.
    /// - Throws: `ENOENT` for an unknown address space, `EINVAL` for an empty range or one that wraps.
    func broadcastTLBI(mm: ObjectID, va: UInt64?, length: UInt64?) throws(IOMMUError)
}
