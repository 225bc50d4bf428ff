import IOMMU
import JSONRPC
import LinuxIO

/// `mm.*`: address spaces to share with devices.
func declareAddressSpaceMethods(_ methods: inout MethodTable<Service>) {
    declareMMOpen(&methods)

    methods.declare("mm.create", "Make a synthetic address space, for scripts and tests.", changesState: true) { m in
        let mm = m.result("mm", .count, "The address space.")
        m.needs(.sharedAddressing)
        m.refuses(.room)
        return { call, service in
            let made = try service.sharedAddressing(call).createMM()
            return call.reply { $0.set(mm, made) }
        }
    }

    declareMMMapping(&methods)

    methods.declare(
        "mm.exit", "End a synthetic address space, as if its last process exited.", changesState: true
    ) { m in
        let mm = m.param("mm", .id, "The address space.")
        m.needs(.sharedAddressing)
        m.refuses(.unknownMM, .mmOfProcess)
        return { call, service in
            try service.sharedAddressing(call).exitMM(call[mm])
            return call.reply()
        }
    }

    methods.declare("mm.close", "Let go of an address space.", changesState: true) { m in
        let mm = m.param("mm", .id, "The address space.")
        m.needs(.sharedAddressing)
        m.refuses(.unknownMM)
        m.refuses(.EBUSY, .mmBound, "It is bound to a device.")
        m.refuses(.EBUSY, .mmMapped, "Pages of it are mapped.")
        return { call, service in
            try service.sharedAddressing(call).closeMM(call[mm])
            return call.reply()
        }
    }

    declareCPUTLBI(&methods)
}

private func declareCPUTLBI(_ methods: inout MethodTable<Service>) {
    methods.declare(
        "cpu.tlbi", "A CPU's broadcast TLB invalidation, which SMMUs with BTM hear.", changesState: true
    ) { m in
        let mm = m.param("mm", .id, "The address space.")
        let va = m.optional("va", .address, "First byte; absent: everything.")
        let length = m.optional("length", .address, "Bytes; absent: one page.")
        m.needs(.tlbBroadcast)
        m.refuses(.unknownMM, .badRange)
        return { call, service in
            try service.tlbBroadcast(call).broadcastTLBI(mm: call[mm], va: call[va], length: call[length])
            return call.reply()
        }
    }
}

private func declareMMOpen(_ methods: inout MethodTable<Service>) {
    methods.declare("mm.open", "Take the address space of a process as it is now.", changesState: true) { m in
        m.takesDescriptors(0...2)
        let pid = m.optional(
            "pid", .count(1...UInt32(Int32.max)),
            "A process; absent: 1 descriptor, a pidfd, or 2, the process's own /proc/self/mem and /proc/self/maps.")
        let mm = m.result("mm", .count, "The address space; one that is shared has one id.")
        m.needs(.sharedAddressing)
        m.refuses(.process, .stored)
        return { call, service in
            let identity = try service.client(call).peer.identity
            let spaces = try service.sharedAddressing(call)
            let process = try NamedProcess(call, pid: call[pid], in: spaces)
            return try service.access(call, spaces, timeout: nil, with: process) { (process, done) throws(IOMMUError) in
                try process.open(in: spaces, by: identity, done)
            } write: { writer, opened in
                writer.set(mm, opened)
                service.watchAddressSpaces()
            }
        }
    }
}

/// What a client names a process by.
private enum NamedProcess: ~Copyable {
    case pid(Int32)
    case pidfd(Descriptor)
    case files(mem: Descriptor, maps: Descriptor)

    /// - Throws: `EBADF` where neither a pid nor enough descriptors came, `EINVAL` where both did.
    init(_ call: Call, pid: UInt32?, in spaces: any SharedAddressing) throws {
        if let pid {
            try refuseDescriptors(besidePID: pid, call)
            self = .pid(Int32(pid))
            return
        }
        let first = try call.takeDescriptor()
        if spaces.isPidfd(first) {
            self = .pidfd(first)
            return
        }
        self = .files(mem: first, maps: try call.takeDescriptor())
    }

    consuming func open(
        in spaces: any SharedAddressing, by identity: ClientIdentity,
        _ done: @escaping (Result<ObjectID, IOMMUError>) -> Void
    ) throws(IOMMUError) -> Progress<ObjectID> {
        switch consume self {
        case .pid(let pid): try spaces.openMM(pid: pid, by: identity, completion: done)
        case .pidfd(let pidfd): try spaces.openMM(pidfd: pidfd, by: identity, completion: done)
        case .files(let mem, let maps): try spaces.openMM(mem: mem, maps: maps, completion: done)
        }
    }
}

/// Which of the two the client means, only the client knows; the descriptors are closed. Those that may be meant for
/// another call are left alone.
private func refuseDescriptors(besidePID pid: UInt32, _ call: Call) throws {
    guard call.hasDescriptorsOfItsOwn else { return }
    throw IOMMUError(
        .EINVAL, .pidAndDescriptors, "pid \(pid) and descriptors came together",
        hint: "name the process one way only", ["pid": .number(UInt64(pid))])
}

private func declareMMMapping(_ methods: inout MethodTable<Service>) {
    methods.declare("mm.map", "Map a memory object into a synthetic address space.", changesState: true) { m in
        let mm = m.param("mm", .id, "The address space.")
        let va = m.param("va", .address, "First byte; a multiple of 4096.")
        let memory = m.param("memory", .id, "The memory object.")
        let offset = m.param("offset", .address, default: 0, "First byte of it.")
        let length = m.param("length", .address, "Bytes; a multiple of 4096.")
        let access = m.param("access", .access, default: .readWrite, "What is permitted; both if absent.")
        let populate = m.param("populate", .bool, default: true, "False: pages come when a device faults.")
        m.needs(.sharedAddressing)
        m.refuses(.unknownMM, .mmOfProcess, .unknownMemory, .mmExited, .badRange, .noAccess, .room, .tables)
        m.refuses(.EINVAL, .outsideMemory, "The range lies outside the memory object, or begins inside a page.")
        m.refuses(.EPERM, .memoryReadOnly, "`access` has write, and the memory object cannot be written.")
        m.refuses(.EEXIST, .vaInUse, "Something is mapped there.")
        return { call, service in
            try service.sharedAddressing(call).mapMM(
                call[mm], va: call[va], memory: call[memory], offset: call[offset], length: call[length],
                access: call[access].access, populate: call[populate])
            return call.reply()
        }
    }

    methods.declare("mm.unmap", "Unmap part of a synthetic address space.", changesState: true) { m in
        let mm = m.param("mm", .id, "The address space.")
        let va = m.param("va", .address, "First byte.")
        let length = m.param("length", .address, "Bytes.")
        m.needs(.sharedAddressing)
        m.refuses(.unknownMM, .mmOfProcess, .badRange, .room)
        return { call, service in
            let session = try service.client(call).session
            let spaces = try service.sharedAddressing(call)
            let answer = try spaces.beginUnmapMM(call[mm], va: call[va], length: call[length])
            return service.reply(call, session, answer)
        }
    }
}
