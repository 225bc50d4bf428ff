/// One thing that changes what a context holds, as it is written down and made again.
///
/// Those of the first part are the calls of ``IOMMUContext`` and its capabilities; those of the second say what is
/// there, however it came to be.
package enum Change: Sendable, Equatable {
    // MARK: Calls

    case allocateIOAS
    case map(ioas: ObjectID, [KeptMapping])
    case unmap(ioas: ObjectID, iova: UInt64, length: UInt64)
    case copy(from: ObjectID, iova: UInt64, length: UInt64, to: ObjectID, target: UInt64, access: Access)
    case allowIOVAs(ioas: ObjectID, [AddressRange])
    case setHugePages(ioas: ObjectID, Bool)
    case bind(name: String)
    case unbind(device: ObjectID)
    case attach(device: ObjectID, pt: ObjectID, pasid: UInt32?)
    case replace(device: ObjectID, pt: ObjectID, pasid: UInt32?)
    case detach(device: ObjectID, pasid: UInt32?)
    case allocateHWPT(device: ObjectID, pt: ObjectID, flags: UInt32, fault: ObjectID?, vste: WordPair?)
    case setDirtyTracking(hwpt: ObjectID, Bool)
    case allocateFaultQueue
    case allocateVIOMMU(device: ObjectID, hwpt: ObjectID, type: String)
    case allocateVDevice(viommu: ObjectID, device: ObjectID, virtualID: UInt64)
    case allocateVEventQueue(viommu: ObjectID, type: String, depth: UInt32)
    case destroy(ObjectID)
    case addMemory(KeptMemory)
    case closeMemory(ObjectID)
    case createMM
    case openMM(KeptProcess)
    case mapMM(mm: ObjectID, va: UInt64, KeptMapping, populate: Bool)
    case unmapMM(mm: ObjectID, va: UInt64, length: UInt64)
    case exitMM(ObjectID)
    case closeMM(ObjectID)
    case bindSVA(device: ObjectID, mm: ObjectID, times: UInt32)
    case unbindSVA(bond: ObjectID)
    case openQueue(device: ObjectID, mm: ObjectID)
    case startQueue(ObjectID)
    case stopQueue(ObjectID)
    case closeQueue(ObjectID)

    // MARK: What is there

    /// An hwpt over an IOAS, whatever device it was allocated by.
    case hwpt(smmu: String, ioas: ObjectID, flags: UInt32, fault: ObjectID?, isAutomatic: Bool)
    case nestedHWPT(viommu: ObjectID, fault: ObjectID?, vste: WordPair)
    case viommu(hwpt: ObjectID)
    /// A device object whose device was unplugged.
    case removedDevice(DeviceDescription, group: UInt32)
    /// Ids that are given to nothing.
    case tombstones([ObjectID])
    /// A bond whose device has gone, and the queues that hold it.
    case goneBond(device: String, mm: ObjectID, pasid: UInt32, asid: UInt32, queues: UInt32)

    // MARK: What a kernel has

    /// The session's own open `/dev/iommu`.
    case openIOMMUFD
    /// The descriptor of a bound device has been handed out.
    case exportDevice(ObjectID)
    /// The iommufd has been handed out, and these devices with it.
    case exportContext([String])
}

/// Two words.
package struct WordPair: Sendable, Equatable {
    /// Word 0.
    package var first: UInt64
    /// Word 1.
    package var second: UInt64

    /// With these properties.
    package init(_ first: UInt64, _ second: UInt64) { (self.first, self.second) = (first, second) }
}

/// One mapping of memory, at its address.
package struct KeptMapping: Sendable, Equatable {
    /// First byte.
    package var iova: UInt64
    /// Bytes.
    package var length: UInt64
    /// First byte in the memory object.
    package var offset: UInt64
    /// The memory object.
    package var memory: ObjectID
    /// What devices may do.
    package var access: Access
    /// Whether copies of it may be written: see `IOMMU_IOAS_COPY`.
    package var isSourceWritable: Bool

    /// With these properties.
    package init(
        iova: UInt64, length: UInt64, offset: UInt64, memory: ObjectID, access: Access, isSourceWritable: Bool? = nil
    ) {
        (self.iova, self.length, self.offset) = (iova, length, offset)
        (self.memory, self.access) = (memory, access)
        self.isSourceWritable = isSourceWritable ?? access.allowsWriting
    }
}

/// A memory object without its bytes, which are in a file that somebody else keeps.
package struct KeptMemory: Sendable, Equatable {
    /// What the client calls it.
    package var name: String?
    /// Bytes.
    package var size: UInt64
    /// The daemon made it.
    package var isCreated: Bool
    /// Made of huge pages.
    package var isHuge: Bool
    /// By which its file is found again; 0: nobody keeps it.
    package var file: UInt64

    /// With these properties.
    package init(name: String?, size: UInt64, isCreated: Bool, isHuge: Bool, file: UInt64) {
        (self.name, self.size, self.isCreated) = (name, size, isCreated)
        (self.isHuge, self.file) = (isHuge, file)
    }
}

/// What is known of the address space of a process for as long as its files are open.
package struct KeptProcess: Sendable, Equatable {
    /// The same for all sessions that have it.
    package var space: UInt64
    /// One of its processes when it was opened.
    package var pid: Int32?
    /// Where the kernel put what it places at random.
    package var (vdso, stackEnd): (UInt64, UInt64)
    /// What the kernel put there.
    package var seed: Int64
    /// Which file its `mem` is.
    package var (device, inode): (UInt64, UInt64)
    /// Its `mem` was opened for writing.
    package var isWritable: Bool
    /// PROCMAP_QUERY is answered.
    package var hasQuery: Bool
    /// By which `mem` and, the next number, `maps` are found again; 0: nobody keeps them.
    package var file: UInt64 = 0

    /// With these properties.
    package init(
        space: UInt64, pid: Int32?, vdso: UInt64, stackEnd: UInt64, seed: Int64, device: UInt64, inode: UInt64,
        isWritable: Bool, hasQuery: Bool
    ) {
        (self.space, self.pid) = (space, pid)
        (self.vdso, self.stackEnd, self.seed) = (vdso, stackEnd, seed)
        (self.device, self.inode) = (device, inode)
        (self.isWritable, self.hasQuery) = (isWritable, hasQuery)
    }
}
