import CLinux
import Glibc
import IOMMU
import IOMMUObjects
import LinuxIO

/// `memory.*`: the daemon's own, on every kernel.
extension KernelContext {
    /// A client's memfd, held by the daemon until it is closed.
    package func importMemory(
        _ descriptor: consuming Descriptor, name: String?
    ) throws(IOMMUError) -> (memory: ObjectID, size: UInt64) {
        try store.importMemory(descriptor, name: name)
    }

    /// A memfd of the daemon's own.
    package func createMemory(size: UInt64, name: String?, huge: Bool) throws(IOMMUError) -> ObjectID {
        try store.createMemory(size: size, name: name, huge: huge)
    }

    /// ``createMemory(size:name:huge:)``, on a worker where huge pages are to be filled with zeros.
    package func beginCreateMemory(size: UInt64, name: String?, huge: Bool) throws(IOMMUError) -> Answer<ObjectID> {
        try store.beginCreateMemory(size: size, name: name, huge: huge)
    }

    /// The memfd once more.
    package func exportMemory(_ memory: ObjectID) throws(IOMMUError) -> Descriptor {
        try store.exportMemory(memory)
    }

    /// Through the daemon's own mapping or descriptor, whatever devices do.
    package func readMemory(_ memory: ObjectID, offset: UInt64, length: UInt64) throws(IOMMUError) -> [UInt8] {
        try store.readMemory(memory, offset: offset, length: length)
    }

    /// Likewise; devices see it at once.
    package func writeMemory(_ memory: ObjectID, offset: UInt64, bytes: [UInt8]) throws(IOMMUError) {
        try store.writeMemory(memory, offset: offset, bytes: bytes)
    }

    /// What the kernel has pinned of it has to be unmapped before.
    package func closeMemory(_ memory: ObjectID) throws(IOMMUError) {
        try store.closeMemory(memory)
        addresses[memory] = nil
    }

    /// Where the kernel gets the pages of a memory object from.
    func source(_ memory: MemoryObject, id: ObjectID, offset: UInt64) throws(IOMMUError) -> KernelHandle.Mapping.Source
    {
        guard !backend.kernel.mapsFiles else { return .file(memory.descriptor, start: offset) }
        if let own = addresses[id] { return .memory(own.start &+ offset) }
        guard let own = OwnMapping(of: memory) else {
            throw IOMMUError(
                .ENOMEM, .noMemory, "the daemon has no address space left for memory object \(id)",
                hint: "a kernel from 6.13 on needs none", ["memory": .number(UInt64(id))])
        }
        addresses[id] = own
        return .memory(own.start &+ offset)
    }
}

/// A memory object in the daemon's address space, only for the kernel to find its pages: nothing here touches it, since
/// its owner can cut it short at any time.
final class OwnMapping {
    /// The address of its first byte.
    let start: UInt64
    private let pointer: UnsafeMutableRawPointer
    private let size: Int

    init?(of memory: MemoryObject) {
        var mapped: UnsafeMutableRawPointer?
        guard clinux_map_file(memory.descriptor, memory.size, memory.isWritable, &mapped) == 0, let mapped else {
            return nil
        }
        pointer = mapped
        size = Int(memory.size)
        start = UInt64(UInt(bitPattern: mapped))
    }

    deinit { munmap(pointer, size) }
}
