import IOMMU
import IOMMUObjects
import LinuxIO

// MARK: - mm.*

extension EmulatedContext {
    /// `mm.open` by pid: the address space of that process now. Looking into a process can take as long as the process
    /// wants, so a worker does it.
    ///
    /// - Throws: `ESRCH` for no such process or one that has none, `EPERM` with what is missing.
    package func openMM(
        pid: Int32, by client: ClientIdentity, completion: @escaping (Result<ObjectID, IOMMUError>) -> Void
    ) throws(IOMMUError) -> Progress<ObjectID> {
        try open(.pid(pid, client), completion)
    }

    /// Whether a descriptor is a pidfd, of a process that lives or not.
    package func isPidfd(_ descriptor: borrowing Descriptor) -> Bool {
        let link = backend.sva.processFiles.link(ofDescriptor: descriptor.number)
        // Before Linux 6.9, and since. A file's path begins otherwise.
        return link == "anon_inode:[pidfd]" || link?.hasPrefix("pidfd:") == true
    }

    /// `mm.open` with a pidfd.
    package func openMM(
        pidfd: consuming Descriptor, by client: ClientIdentity,
        completion: @escaping (Result<ObjectID, IOMMUError>) -> Void
    ) throws(IOMMUError) -> Progress<ObjectID> {
        try open(.pidfd(pidfd, client), completion)
    }

    /// `mm.open` with a client's own `mem` and `maps` files.
    ///
    /// - Throws: `EINVAL` if they are not that, or of two processes; `ESRCH` if the address space has ended.
    package func openMM(
        mem: consuming Descriptor, maps: consuming Descriptor,
        completion: @escaping (Result<ObjectID, IOMMUError>) -> Void
    ) throws(IOMMUError) -> Progress<ObjectID> {
        try open(.files(mem: mem, maps: maps), completion)
    }

    /// As ``openMM(pid:by:completion:)``, waiting for the process.
    package func openMM(pid: Int32, by client: ClientIdentity) throws(IOMMUError) -> ObjectID {
        try sva.open(try ProcessCandidate(pid: pid, by: client, files: backend.sva.processFiles).examine().get())
    }

    /// As ``openMM(pidfd:by:completion:)``, waiting for the process.
    package func openMM(pidfd: consuming Descriptor, by client: ClientIdentity) throws(IOMMUError) -> ObjectID {
        try sva.open(try ProcessCandidate(pidfd: pidfd, by: client, files: backend.sva.processFiles).examine().get())
    }

    /// As ``openMM(mem:maps:completion:)``, waiting for the process.
    package func openMM(
        mem: consuming Descriptor, maps: consuming Descriptor
    ) throws(IOMMUError) -> ObjectID {
        try sva.open(try ProcessCandidate(mem: mem, maps: maps, files: backend.sva.processFiles).examine().get())
    }

    /// `mm.create`
    package func createMM() throws(IOMMUError) -> ObjectID {
        try sva.name(backend.sva.makeSynthetic(for: context.account))
    }

    /// `mm.map`
    ///
    /// - Parameter populate: the pages are there at once; otherwise the first access of a device faults them in.
    /// - Throws: `EINVAL` for misalignment, a range outside the memory or a process's mm; `EEXIST`, `EPERM`, `ESRCH`,
    ///   `EDQUOT`.
    package func mapMM(
        _ mm: ObjectID, va: UInt64, memory memoryID: ObjectID, offset: UInt64, length: UInt64, access: Access,
        populate: Bool
    ) throws(IOMMUError) {
        let (space, synthetic) = try syntheticMM(mm)
        let memory = try context.memory(memoryID)
        guard space.isLive else { throw .mmExited(mm: mm) }
        let range = try checkRange(va: va, length: length)
        guard offset & 0xfff == 0, offset <= memory.size, length <= (memory.size &- offset &+ 0xfff) & ~0xfff else {
            throw IOMMUError(
                .EINVAL, .outsideMemory,
                "\(span(length, at: offset)) of memory object \(memoryID) lie outside it, or not at a page",
                hint: "make offset a multiple of 0x1000, and keep offset + length within its size",
                ["memory": .number(UInt64(memoryID)), "offset": .hex(offset), "length": .hex(length)]
            )
        }
        guard !access.isEmpty else {
            throw IOMMUError(
                .EINVAL, .noAccess, "a mapping of mm \(mm) would allow neither reading nor writing",
                hint: "name one or both in access, or leave access out for both", ["mm": .number(UInt64(mm))])
        }
        guard memory.isWritable || !access.allowsWriting else {
            throw IOMMUError(
                .EPERM, .memoryReadOnly, "memory object \(memoryID) cannot be written",
                hint: "map it for reading, or import a writable descriptor without F_SEAL_WRITE",
                ["memory": .number(UInt64(memoryID))]
            )
        }
        try synthetic.check(range)
        try makeRoomForAnArea(in: synthetic, mm)
        synthetic.insert(
            range, memory, id: memoryID, location: context.memories.location(of: memoryID), offset: offset,
            access: access, isPopulated: populate)
        guard populate, let area = synthetic.area(at: va) else { return }
        do throws(IOMMUError) {
            for view in space.views { try space.populate(view, area) }
        } catch {
            space.zap(range)
            synthetic.remove(range)
            throw error
        }
    }

    func makeRoomForAnArea(in memory: SyntheticMemory, _ mm: ObjectID) throws(IOMMUError) {
        guard memory.count < limits.mappings else {
            throw .overLimit(limits.mappings, of: "areas", in: "mm \(mm)", key: "mappings_per_session")
        }
        try memory.makeRoom()
    }

    /// `mm.exit`: as if its last process had exited; once more changes nothing.
    package func exitMM(_ mm: ObjectID) throws(IOMMUError) { try syntheticMM(mm).space.exit() }

    /// `mm.close`; `EBUSY` while this session has it bound, or its pages mapped.
    package func closeMM(_ mm: ObjectID) throws(IOMMUError) {
        let handle = try sva.handle(mm)
        guard handle.bonds == 0 else {
            throw IOMMUError(
                .EBUSY, .mmBound, "mm \(mm) is bound to devices by \(handle.bonds) bonds",
                hint: "call sva.unbind, and queue.close for its queues, first", ["mm": .number(UInt64(mm))]
            )
        }
        guard handle.lent == 0 else {
            throw IOMMUError(
                .EBUSY, .mmMapped, "pages of mm \(mm) are mapped, in \(handle.lent) ranges",
                hint: "unmap them first; ioas.mappings shows where", ["mm": .number(UInt64(mm))]
            )
        }
        sva.removeHandle(mm, handle)
    }

    func syntheticMM(_ mm: ObjectID) throws(IOMMUError) -> (space: AddressSpace, memory: SyntheticMemory) {
        let space = try sva.handle(mm).space
        guard case .synthetic(let memory) = space.backing else {
            throw IOMMUError(
                .EINVAL, .mmOfProcess, "mm \(mm) is a process's own address space, which only the process changes",
                hint: "make one that can be changed with mm.create", ["mm": .number(UInt64(mm))]
            )
        }
        return (space, memory)
    }

    func checkRange(va: UInt64, length: UInt64) throws(IOMMUError) -> AddressRange {
        guard va & 0xfff == 0, length & 0xfff == 0, let range = AddressRange(start: va, length: length),
            range.last <= SVAManager.lastAddress
        else {
            throw IOMMUError(
                .EINVAL, .badRange, "\(span(length, at: va)) are no whole pages below 2^48",
                hint: "make va and length multiples of 0x1000, and length not 0",
                ["va": .hex(va), "length": .hex(length)]
            )
        }
        return range
    }
}

// MARK: - sva.* and cpu.tlbi

extension EmulatedContext {
    /// `sva.bind`: one bond per device and address space, counted.
    package func bindSVA(
        device: ObjectID, mm: ObjectID
    ) throws(IOMMUError) -> (bond: ObjectID, pasid: UInt32, asid: UInt32) {
        let handle = try sva.handle(mm)
        let bond = try sva.acquireBond(self.device(device), id: device, to: handle)
        return (bond.id, bond.pasid, UInt32(bond.asid))
    }

    /// `sva.unbind`. - Returns: users left.
    package func unbindSVA(bond id: ObjectID) throws(IOMMUError) -> Int {
        guard let bond = sva.bonds[id] else { throw .unknown(.unknownBond, "bond", id, key: "bond") }
        guard bond.users > bond.queues.count else {
            throw IOMMUError(
                .EBUSY, .bondOfQueues, "bond \(id) is held by \(bond.queues.count) open queues only",
                hint: "close those with queue.close", ["bond": .number(UInt64(id))]
            )
        }
        return sva.releaseBond(bond)
    }

    /// `sva.list`
    package func bonds() -> [BondDescription] {
        backend.sva.probeAddressSpaces()
        return sva.bonds.all.map { id, bond in
            BondDescription(
                bond: id, device: bond.deviceID, mm: bond.handle.id, pasid: bond.pasid, asid: UInt32(bond.asid),
                users: bond.users, state: bond.state, btm: bond.usesBroadcast
            )
        }
    }

    /// `cpu.tlbi`: a CPU's broadcast for a range, or for the whole address space.
    package func broadcastTLBI(mm: ObjectID, va: UInt64?, length: UInt64?) throws(IOMMUError) {
        let space = try sva.handle(mm).space
        guard let va else { return backend.sva.broadcastTLBI(space, nil) }
        guard let range = AddressRange(start: va, length: length ?? 4096) else {
            throw IOMMUError(
                .EINVAL, .badRange, "\(span(length ?? 4096, at: va)) are none, or wrap at the end of the address space",
                hint: "give a length of at least one byte that ends within 64 bits",
                ["va": .hex(va), "length": .hex(length ?? 4096)])
        }
        backend.sva.broadcastTLBI(space, range)
    }
}
