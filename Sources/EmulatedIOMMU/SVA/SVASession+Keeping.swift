import IOMMU
import IOMMUObjects
import LinuxIO

/// Address spaces, bonds and queues, written down and made again.
extension SVASession {
    // MARK: Writing down

    /// What makes address spaces anew.
    func walkSpaces(files: any KeptFiles) -> KeptWalk.Step {
        step { [self] take in
            for (id, handle) in mms.all { describe(id, handle.space, files, take) }
        }
    }

    /// What makes all else anew; an address space that has ended ends last.
    func walkSteps() -> [KeptWalk.Step] {
        [
            step { [self] take in
                for (id, bond) in bonds.all { describe(id, bond, take) }
            },
            step { [self] take in
                for (id, handle) in mms.all where handle.space.isSynthetic && !handle.space.isLive {
                    take(.exitMM(id), [])
                }
            },
        ]
    }

    private func step(_ body: @escaping (KeptWalk.Taker) -> Void) -> KeptWalk.Step {
        { _, take in
            body(take)
            return true
        }
    }

    private func describe(_ id: ObjectID, _ space: AddressSpace, _ files: any KeptFiles, _ take: KeptWalk.Taker) {
        let given = [Ledger.Entry(.mm, UInt64(id))]
        guard case .synthetic(let memory) = space.backing else {
            guard files.isWritten(mm: id), var facts = space.facts else { return }
            facts.file = files.file(ofSpace: space.serial)
            return take(.openMM(facts), given)
        }
        take(.createMM, given)
        for area in memory.kept {
            take(.mapMM(mm: id, va: area.mapping.iova, area.mapping, populate: area.isPopulated), [])
        }
    }

    private func describe(_ id: ObjectID, _ bond: Bond, _ take: KeptWalk.Taker) {
        let asid = Ledger.Entry(bond.usesBroadcast ? .cpuASID : .asid, UInt64(bond.asid))
        var given = [Ledger.Entry(.bond, UInt64(id)), Ledger.Entry(.pasid, UInt64(bond.pasid)), asid]
        guard let device = bond.deviceID, bond.attachment != nil else { return describeGone(id, bond, take) }
        let binds = bond.users - bond.queues.count
        if binds > 0 {
            take(.bindSVA(device: device, mm: bond.handle.id, times: UInt32(clamping: binds)), given)
            given = []
        }
        for queue in bond.queues {
            take(.openQueue(device: device, mm: bond.handle.id), given + [Ledger.Entry(.queue, UInt64(queue.id))])
            given = []
            if queue.state == .started { take(.startQueue(queue.id), []) }
        }
    }

    private func describeGone(_ id: ObjectID, _ bond: Bond, _ take: KeptWalk.Taker) {
        take(
            .goneBond(
                device: bond.device.name, mm: bond.handle.id, pasid: bond.pasid, asid: UInt32(bond.asid),
                queues: UInt32(clamping: bond.queues.count)),
            [Ledger.Entry(.bond, UInt64(id))] + bond.queues.map { Ledger.Entry(.queue, UInt64($0.id)) })
    }

    // MARK: Making again

    /// - Throws: `EDQUOT`, `EMFILE`.
    func restore(
        _ facts: KeptProcess, mem: consuming Descriptor?, maps: consuming Descriptor?
    ) throws(IOMMUError) -> ObjectID {
        let isWhole = mem != nil && maps != nil
        let memory = ProcessMemory(
            mem: try Self.file(mem), maps: try Self.file(maps),
            ProcessMemory.Facts(
                identity: ProcessFileFacts.Identity(device: facts.device, inode: facts.inode),
                isWritable: facts.isWritable, hasQuery: facts.hasQuery), files: manager.processFiles)
        let layout = ProcessLayout(vdso: facts.vdso, stackEnd: facts.stackEnd, seed: Int(facts.seed))
        let opened = OpenedProcess(memory: memory, pid: facts.pid, layout: layout, files: manager.processFiles)
        let space = manager.restored(opened, serial: facts.space, for: context.account.uid)
        if !isWhole, space.process === memory { space.isWithoutFiles = true }
        return try name(space)
    }

    /// Something in the place of a file that nobody has kept.
    private static func file(_ kept: consuming Descriptor?) throws(IOMMUError) -> Descriptor {
        if let kept { return kept }
        do throws(SystemError) {
            return try Descriptor(opening: "/dev/null", 2)
        } catch {
            throw .noDescriptors
        }
    }

    /// The handles that a session still has of a bond whose device has gone.
    func restoreGone(
        _ device: EmulatedDevice, mm: ObjectID, pasid: UInt32, asid: UInt32, queues count: UInt32
    ) throws(IOMMUError) {
        let handle = try handle(mm)
        guard count > 0, count <= UInt32(clamping: context.limits.queues) else { return }
        try context.chargeObject()
        let bond = Bond(
            session: self, gone: device, handle: handle, pasid: pasid, asid: UInt16(truncatingIfNeeded: asid))
        bond.users = Int(count)
        handle.bonds += 1
        bond.id = bonds.give(.bond, manager.ledger, bond)
        watch(device)
        for _ in 0..<count {
            try context.chargeObject()
            let queue = AcceleratorQueue(bond: bond)
            queue.id = queues.give(.queue, manager.ledger, queue)
            bond.queues.append(queue)
            device.openQueues += 1
            queue.kill(.deviceRemoved(device.name))
        }
    }

    /// Takes out the areas of a memory object that is lost.
    func lose(memory id: ObjectID) {
        for (_, handle) in mms.all {
            guard case .synthetic(let memory) = handle.space.backing else { continue }
            for area in memory.kept where area.mapping.memory == id {
                guard let range = AddressRange(start: area.mapping.iova, length: area.mapping.length) else { continue }
                handle.space.zap(range)
                memory.remove(range)
            }
        }
    }

    /// Address spaces whose files are lost count as ended.
    func endWithoutFiles() {
        for (_, handle) in mms.all where handle.space.isWithoutFiles { handle.space.exit() }
    }
}

extension AddressSpace {
    /// What is known for as long as its files are open; nil of a synthetic one.
    var facts: KeptProcess? {
        guard let process else { return nil }
        return KeptProcess(
            space: serial, pid: pid, vdso: layout.vdso, stackEnd: layout.stackEnd, seed: Int64(layout.seed),
            device: process.facts.identity?.device ?? 0, inode: process.facts.identity?.inode ?? 0,
            isWritable: process.isWritable, hasQuery: process.hasQuery)
    }
}

extension SyntheticMemory {
    /// Its areas as they are written down; a copy.
    var kept: [(mapping: KeptMapping, isPopulated: Bool)] {
        var found: [(mapping: KeptMapping, isPopulated: Bool)] = []
        var address: UInt64 = 0
        while let area = map.area(endingAtOrAfter: address) {
            if let entry = objects[area.memory] {
                let mapping = KeptMapping(
                    iova: area.start, length: area.length, offset: area.offset, memory: entry.id, access: area.access)
                found.append((mapping, area.isPopulated))
            }
            address = area.last &+ 1
        }
        return found
    }
}
