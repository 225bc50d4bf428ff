import CLinux
import IOMMU
import IOMMUObjects
import LinuxIO

/// What outlives the daemon: the kernel has the objects, others keep the descriptors, and the books are made anew.
extension KernelContext: KeptState {
    /// Where files are mapped: see ``KernelBackend/kept``.
    package var keptState: (any KeptState)? { backend.kernel.mapsFiles ? self : nil }
    /// The backend's.
    package var ledger: Ledger { backend.ledger }
    /// This one.
    package var living: (any LivingState)? { self }

    // MARK: Files

    /// `ENOENT` for an unknown id.
    package func memoryFacts(_ memory: ObjectID) throws(IOMMUError) -> KeptMemory {
        store.facts(of: try store.memory(memory))
    }

    /// `ENOENT` for an unknown id.
    package func memoryDescriptor(_ memory: ObjectID) throws(IOMMUError) -> Int32 {
        try store.memory(memory).descriptor
    }

    /// There are no address spaces of processes here: `EOPNOTSUPP`.
    package func processFacts(_ mm: ObjectID) throws(IOMMUError) -> KeptProcess? {
        throw Capability.sharedAddressing.missing
    }

    /// There are no address spaces of processes here: `EOPNOTSUPP`.
    package func processDescriptors(_ mm: ObjectID) throws(IOMMUError) -> [Int32] {
        throw Capability.sharedAddressing.missing
    }

    // MARK: Making again

    /// Over a file that was kept, or an empty one.
    package func restoreMemory(_ facts: KeptMemory, _ file: consuming Descriptor?) throws(IOMMUError) -> ObjectID {
        try store.restoreMemory(facts, file)
    }

    /// There are no address spaces of processes here: `EOPNOTSUPP`.
    package func restoreProcess(
        _ facts: KeptProcess, mem: consuming Descriptor?, maps: consuming Descriptor?
    ) throws(IOMMUError) -> ObjectID {
        throw Capability.sharedAddressing.missing
    }

    /// Nothing is made again: the kernel has it.
    package func restore(_ change: Change) throws(IOMMUError) { throw Self.lost("a change of another backend") }

    /// What maps it is unmapped, since nobody could say any more what is mapped there.
    package func lose(memory id: ObjectID) {
        if let handle = try? handle() {
            for case let ioas as KernelIOAS in table.all {
                for area in ioas.areas.all(of: id) {
                    _ = try? handle.unmap(ioas: ioas.id, iova: area.start, length: area.length)
                    forget(area, in: ioas)
                }
            }
        }
        store.lose(memory: id)
    }

    /// What only an earlier daemon could tell is as bad as it may be, and pinned memory counts for this one.
    package func settle() {
        isLost = false
        for object in table.all {
            switch object {
            case let hwpt as KernelHWPT where hwpt.isAutomatic && hwpt.users == 0:
                // Its devices were lost, and it went with them.
                forget(hwpt)
            case let hwpt as KernelHWPT where hwpt.isTracking: hwpt.suspects = hwpt.ioas.areas.writableRanges
            case let queue as KernelFaultQueue: queue.answerAll()
            case let queue as KernelVEventQueue: queue.loseAll()
            default: break
            }
        }
        guard isOpen, let handle = try? handle() else { return }
        var argument = clinux_iommu_ioas_change_process()
        do throws(KernelFailure) { try handle.perform(IOMMUFD.ioasChangeProcess, &argument) } catch {
            backend.pinsCountElsewhere(owner, error)
        }
    }

    /// Bounds on what the session may hold from now on.
    package func apply(_ limits: ContextLimits) { store.apply(limits) }

    static func lost(_ what: String) -> IOMMUError {
        IOMMUError(
            .EIO, .stateLost, "\(what) is lost: nobody has kept its descriptor",
            hint: "close what is left of the session, and make it anew")
    }
}

extension AreaMap {
    /// Those of a memory object.
    fileprivate func all(of memory: ObjectID) -> [Area] { filtered { $0.memory == memory } }

    /// What devices may write, ascending.
    fileprivate var writableRanges: [AddressRange] {
        filtered { $0.access.allowsWriting }.compactMap { AddressRange(start: $0.start, last: $0.last) }
    }

    private func filtered(_ isWanted: (Area) -> Bool) -> [Area] {
        var found: [Area] = []
        var next: UInt64? = 0
        while let start = next, let area = area(endingAtOrAfter: start) {
            if isWanted(area) { found.append(area) }
            next = area.last < .max ? area.last + 1 : nil
        }
        return found
    }
}
