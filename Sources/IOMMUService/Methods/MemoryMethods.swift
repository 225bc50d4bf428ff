import IOMMU
import JSONRPC

/// `memory.*`: what gets mapped.
func declareMemoryMethods(_ methods: inout MethodTable<Service>) {
    methods.declare("memory.import", "Take over a memfd of the client's.", changesState: true) { m in
        m.takesDescriptors(1)
        let name = m.optional("name", .string(maximumBytes: 255), "What `session.objects` shows.")
        let memory = m.result("memory", .count, "The memory object.")
        let size = m.result("size", .hex, "Its size in bytes.")
        m.refuses(.newMemory, .descriptors, .stored)
        m.refuses(.EINVAL, .notAMemfd, "The descriptor is not that of a memfd.")
        m.refuses(.EINVAL, .notReadable, "The descriptor is open for writing only.")
        m.refuses(.EINVAL, .emptyMemory, "The memfd has no bytes yet.")
        return { call, service in
            let session = try service.client(call).session
            func write(_ reply: ResultWriter, _ imported: (memory: ObjectID, size: UInt64)) {
                reply.set(memory, imported.memory)
                reply.set(size, imported.size)
            }
            switch try session.context.beginImportMemory(try call.takeDescriptor(), name: call[name]) {
            case .now(let imported): return call.reply { write($0, imported) }
            case .later(let deferred): return service.later(call, session, deferred, write: write)
            }
        }
    }

    declareMemoryCreation(&methods)
    declareMemoryExport(&methods)
    declareMemoryClose(&methods)
    declareMemoryAccess(&methods)
}

private func declareMemoryCreation(_ methods: inout MethodTable<Service>) {
    methods.declare("memory.create", "Make a memfd of the daemon's.", changesState: true) { m in
        let size = m.param("size", .address, "Bytes; a multiple of 4096.")
        let name = m.optional("name", .string(maximumBytes: 200), "What `session.objects` and /proc show.")
        let huge = m.param("huge", .bool, default: false, "Back it by huge pages.")
        let memory = m.result("memory", .count, "The memory object.")
        m.refuses(.newMemory, .zeroLength, .descriptors, .stored)
        m.refuses(.EINVAL, .badSize, "With `huge`: no multiple of the huge page size.")
        m.refuses(.ENOMEM, .noHugePages, "The system has not enough free huge pages.")
        m.refuses(.ENOMEM, .noMemory, "The system has no memory left.")
        return { call, service in
            let session = try service.client(call).session
            let answer = try session.context.beginCreateMemory(size: call[size], name: call[name], huge: call[huge])
            return service.reply(call, session, answer, memory) { $0.set($1, $2) }
        }
    }
}

private func declareMemoryExport(_ methods: inout MethodTable<Service>) {
    methods.declare("memory.export", "Hand out the memfd behind a memory object.") { m in
        let memory = m.param("memory", .id, "The memory object.")
        m.sendsDescriptors()
        m.refuses(.unknownMemory, .descriptors)
        return { call, service in
            try call.attach(try service.context(call).exportMemory(call[memory]))
            return call.reply()
        }
    }
}

private func declareMemoryClose(_ methods: inout MethodTable<Service>) {
    methods.declare("memory.close", "Let go of a memory object.", changesState: true) { m in
        let memory = m.param("memory", .id, "The memory object.")
        m.refuses(.unknownMemory)
        m.refuses(.EBUSY, .memoryMapped, "It is still mapped somewhere.")
        return { call, service in
            try service.context(call).closeMemory(call[memory])
            return call.reply()
        }
    }
}

/// `memory.read` and `memory.write`.
private func declareMemoryAccess(_ methods: inout MethodTable<Service>) {
    methods.declare("memory.read", "Read bytes of a memory object.") { m in
        let memory = m.param("memory", .id, "The memory object.")
        let offset = m.param("offset", .address, default: 0, "First byte.")
        let length = m.param("length", .address, "Bytes, at most `limits.transfer_bytes`.")
        let data = m.result("data", .base64, "The bytes.")
        m.refuses(.transfer)
        return { call, service in
            let context = try service.context(call)
            let bytes = try context.readMemory(call[memory], offset: call[offset], length: call[length])
            return call.reply { $0.set(data, bytes) }
        }
    }

    methods.declare("memory.write", "Write bytes into a memory object.", changesState: true) { m in
        let memory = m.param("memory", .id, "The memory object.")
        let offset = m.param("offset", .address, default: 0, "First byte.")
        let data = m.param("data", .transfer, "The bytes, at most `limits.transfer_bytes`.")
        let written = m.result("written", .count, "Bytes written.")
        m.refuses(.transfer)
        m.refuses(.room)
        m.refuses(.EPERM, .memoryReadOnly, "The descriptor or its seals forbid writing.")
        return { call, service in
            let bytes = call[data].decoded()
            try service.context(call).writeMemory(call[memory], offset: call[offset], bytes: bytes)
            return call.reply { $0.set(written, bytes.count) }
        }
    }
}
