import Glibc
import IOMMU
import LinuxIO

extension ObjectContext {
    /// Takes a client's memfd. `EINVAL` for anything else, `EFBIG`, `EDQUOT`, `ENOMEM`.
    package func importMemory(
        _ descriptor: consuming Descriptor, name: String?
    ) throws(IOMMUError) -> (memory: ObjectID, size: UInt64) {
        try chargeObject(descriptors: 1)
        do {
            let memory = try MemoryObject.importing(descriptor, name: name, payer: account)
            try checkSize(memory.size)
            return (enter(memory, at: try registry.host.admit(memory, for: account)), memory.size)
        } catch {
            releaseObject(descriptors: 1)
            throw error
        }
    }

    /// A memfd of the daemon's. `EINVAL`, `EFBIG`, `EDQUOT`, `ENOMEM`, `EMFILE`.
    package func createMemory(size: UInt64, name: String?, huge: Bool) throws(IOMMUError) -> ObjectID {
        try createMemory(size: size, name: name, huge: huge, isReserved: true)
    }

    func createMemory(
        size: UInt64, name: String?, huge: Bool, isReserved: Bool
    ) throws(IOMMUError) -> ObjectID {
        guard size > 0 else {
            throw IOMMUError(
                .EINVAL, .zeroLength, "a memory object of \(hexadecimal(size)) bytes holds nothing",
                hint: "give a size of at least one byte", ["size": .hex(size)])
        }
        try checkSize(size)
        try chargeObject(descriptors: 1)
        do {
            let memory = try makeMemory(size: size, name: name, huge: huge, isReserved: isReserved)
            return enter(memory.object, at: memory.location)
        } catch {
            releaseObject(descriptors: 1)
            throw error
        }
    }

    private func makeMemory(
        size: UInt64, name: String?, huge: Bool, isReserved: Bool
    ) throws(IOMMUError) -> (object: MemoryObject, location: UInt64) {
        try account.charge(size, of: .memoryBytes)
        do {
            let memory = try MemoryObject.creating(size: size, name: name, huge: huge, isReserved: isReserved)
            let location = try registry.host.admit(memory, for: account)
            createdMemories.insert(ObjectIdentifier(memory))
            return (memory, location)
        } catch {
            account.release(size, of: .memoryBytes)
            throw error
        }
    }

    func checkSize(_ size: UInt64) throws(IOMMUError) {
        guard size <= limits.memorySize else {
            throw IOMMUError(
                .EFBIG, .memoryTooLarge,
                "\(hexadecimal(size)) bytes are more than the \(hexadecimal(limits.memorySize)) of one memory object",
                hint: "make several, or ask the administrator to raise limits.memory_object_bytes",
                ["size": .hex(size), "limit": .hex(limits.memorySize)])
        }
    }

    /// The memfd once more. `ENOENT`, `EMFILE`.
    package func exportMemory(_ memory: ObjectID) throws(IOMMUError) -> Descriptor {
        try self.memory(memory).duplicateDescriptor()
    }

    /// `ENOENT`; `EINVAL` beyond the object, `EMSGSIZE` beyond ``ContextLimits/transfer``, `EIO` where it was
    /// truncated.
    package func readMemory(
        _ memory: ObjectID, offset: UInt64, length: UInt64
    ) throws(IOMMUError) -> [UInt8] {
        let object = try self.memory(memory)
        try checkTransfer(length)
        try checkRange(of: object, id: memory, offset: offset, length: length)
        var bytes = [UInt8](repeating: 0, count: Int(length))
        var failure: IOMMUError?
        bytes.withUnsafeMutableBytes { buffer in
            do throws(IOMMUError) { try object.read(offset: offset, into: buffer) } catch { failure = error }
        }
        if let failure { throw failure.with("memory", .number(UInt64(memory))) }
        return bytes
    }

    /// As ``readMemory(_:offset:length:)``, and `EPERM` for what cannot be written.
    package func writeMemory(_ memory: ObjectID, offset: UInt64, bytes: [UInt8]) throws(IOMMUError) {
        let object = try self.memory(memory)
        try checkTransfer(UInt64(bytes.count))
        try checkRange(of: object, id: memory, offset: offset, length: UInt64(bytes.count))
        try object.payForHoles(offset: offset, length: UInt64(bytes.count))
        var failure: IOMMUError?
        bytes.withUnsafeBytes { buffer in
            do throws(IOMMUError) { try object.write(offset: offset, from: buffer) } catch { failure = error }
        }
        if let failure { throw failure.with("memory", .number(UInt64(memory))) }
    }

    /// `EMSGSIZE` for more than one call may move.
    package func checkTransfer(_ length: UInt64) throws(IOMMUError) {
        guard length <= limits.transfer else {
            throw IOMMUError(
                .EMSGSIZE, .transferTooLarge,
                "\(hexadecimal(length)) bytes are more than the \(hexadecimal(limits.transfer)) that one call moves",
                hint: "split it into several calls", ["length": .hex(length), "limit": .hex(limits.transfer)])
        }
    }

    /// `EINVAL` for bytes that the memory object does not have.
    @inline(__always)
    package func checkRange(of object: MappedMemory, id: ObjectID, offset: UInt64, length: UInt64) throws(IOMMUError) {
        let (end, overflow) = offset.addingReportingOverflow(length)
        guard !overflow, end <= object.size else {
            throw IOMMUError(
                .EINVAL, .outsideMemory,
                "\(span(length, at: offset)) lie outside memory object \(id), which has \(hexadecimal(object.size))",
                hint: "keep offset + length within its size",
                [
                    "memory": .number(UInt64(id)), "offset": .hex(offset), "length": .hex(length),
                    "size": .hex(object.size),
                ])
        }
    }

    /// `ENOENT`; `EBUSY` while it is mapped anywhere.
    package func closeMemory(_ memory: ObjectID) throws(IOMMUError) {
        let object = try self.memory(memory)
        guard object.mappings == 0 else {
            throw IOMMUError(
                .EBUSY, .memoryMapped, "memory object \(memory) is mapped \(object.mappings) times",
                hint: "unmap it first; ioas.mappings shows where",
                ["memory": .number(UInt64(memory)), "mappings": .number(UInt64(object.mappings))])
        }
        release(object, id: memory)
    }

    func release(_ object: MemoryObject, id: ObjectID) {
        object.reclaimer = registry.host.longWork
        registry.host.dismiss(object, at: memories.location(of: id), for: account)
        memories.remove(id)
        account.release(object.filled, of: .memoryBytes)
        if createdMemories.remove(ObjectIdentifier(object)) != nil { account.release(object.size, of: .memoryBytes) }
        releaseObject(descriptors: 1)
    }
}
