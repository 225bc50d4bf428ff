import IOMMU
import IOMMUObjects
import LinuxIO

/// The state of a session of the emulated machine, written down and made again.
extension EmulatedContext: KeptState {
    /// The machine's.
    package var ledger: Ledger { backend.ledger }

    // MARK: Files

    /// `ENOENT` for an unknown id.
    package func memoryFacts(_ memory: ObjectID) throws(IOMMUError) -> KeptMemory {
        context.facts(of: try context.memory(memory))
    }

    /// `ENOENT` for an unknown id.
    package func memoryDescriptor(_ memory: ObjectID) throws(IOMMUError) -> Int32 {
        try context.memory(memory).descriptor
    }

    /// nil for a synthetic address space; `ENOENT` for an unknown id.
    package func processFacts(_ mm: ObjectID) throws(IOMMUError) -> KeptProcess? {
        try sva.handle(mm).space.facts
    }

    /// `mem` and `maps`; none of a synthetic address space. `ENOENT` for an unknown id.
    package func processDescriptors(_ mm: ObjectID) throws(IOMMUError) -> [Int32] {
        try sva.handle(mm).space.process?.descriptors ?? []
    }

    // MARK: Writing down

    /// Memory objects and address spaces, what maps them, then bonds and queues.
    package func walk(files: any KeptFiles) -> KeptWalk {
        guard hasSharing else { return KeptWalk(context.walkSteps(files: files)) }
        return KeptWalk(
            context.walkSteps(files: files, spaces: [sva.walkSpaces(files: files)]) + sva.walkSteps())
    }

    // MARK: Making again

    /// Over a file that was kept, or an empty one.
    package func restoreMemory(_ facts: KeptMemory, _ file: consuming Descriptor?) throws(IOMMUError) -> ObjectID {
        try context.restoreMemory(facts, file)
    }

    /// Of files that were kept, or of none.
    package func restoreProcess(
        _ facts: KeptProcess, mem: consuming Descriptor?, maps: consuming Descriptor?
    ) throws(IOMMUError) -> ObjectID {
        try sva.restore(facts, mem: mem, maps: maps)
    }

    /// One of the changes that no call makes.
    package func restore(_ change: Change) throws(IOMMUError) {
        switch change {
        case .map(let ioas, let mappings): try context.restoreMappings(ioas: ioas, mappings)
        case .unmapMM(let mm, let va, let length): try unmapMM(mm, va: va, length: length)
        case .hwpt(let smmu, let ioas, let flags, let fault, let isAutomatic):
            try context.restoreHWPT(
                smmu: smmu, ioas: ioas, flags: HWPTFlags(rawValue: flags), fault: fault, isAutomatic: isAutomatic)
        case .nestedHWPT(let viommu, let fault, let vste):
            try context.restoreNestedHWPT(viommu: viommu, fault: fault, vste)
        case .viommu(let hwpt): try context.restoreVIOMMU(hwpt: hwpt)
        case .removedDevice(let description, let group):
            try context.restoreRemovedDevice(description, group: group)
        case .tombstones(let ids): try context.restoreTombstones(ids)
        case .goneBond(let device, let mm, let pasid, let asid, let queues):
            try sva.restoreGone(try backend.device(named: device), mm: mm, pasid: pasid, asid: asid, queues: queues)
        default: throw .taken("the change", 0)
        }
    }

    /// Its areas and mappings go with it.
    package func lose(memory: ObjectID) {
        if hasSharing { sva.lose(memory: memory) }
        context.lose(memory: memory)
    }

    /// What only time could tell is as bad as it may be.
    package func settle() {
        context.settleRestored()
        backend.sva.forgetRestored()
        if hasSharing { sva.endWithoutFiles() }
    }

    /// Bounds on what the session may hold from now on.
    package func apply(_ limits: ContextLimits) { context.apply(limits) }
}

extension EmulatedBackend: KeptBackend {
    /// Contexts of this machine can be found again.
    package var kept: (any KeptBackend)? { self }

    /// Nothing happens where there is no such table.
    package func restoreMove(smmu: String, from: UInt16, to: UInt16) {
        smmus.first { $0.name == smmu }?.driver.restoreMove(from: from, to: to)
    }
}
