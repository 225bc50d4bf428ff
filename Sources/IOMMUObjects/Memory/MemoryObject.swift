import CLinux
import Glibc
import IOMMU
import LinuxIO

/// A memfd whose bytes devices reach.
///
/// A client could truncate its file at any time, and a mapping of the lost part would kill the daemon with SIGBUS. So
/// only files that can no longer shrink are mapped; all others are read and written through the descriptor.
package final class MemoryObject: MappedMemory {
    /// Bytes of the whole pages that it covers.
    package var pages: UInt64 { (size &+ 0xfff) & ~0xfff }
    /// Made of huge pages.
    package let isHuge: Bool
    /// What the client calls it.
    package let name: String?
    /// On whose account pages are that do not exist before the daemon writes them; nil: they are paid for already.
    package private(set) var payer: Account?
    /// Bytes of such pages.
    package internal(set) var filled: UInt64 = 0
    private let backing: MemoryBacking
    /// Gives back what much memory holds, away from the owning thread; nil: it is given back where it is dropped.
    var reclaimer: (any WorkExecutor)?
    /// The number of its descriptor, to use while it lives.
    package var descriptor: Int32 { backing.descriptor }
    /// A mapping that loads and stores may touch; nil: go through the descriptor.
    package let pointer: UnsafeMutableRawPointer?
    /// A mapping of huge pages that only the kernel may touch on our behalf.
    private let guardedPointer: UnsafeMutableRawPointer?

    /// Address space of a file that may shrink, to ask which of its pages exist; never touched.
    private(set) var lookout: UnsafeMutableRawPointer?

    private init(
        _ file: consuming Descriptor, size: UInt64, isWritable: Bool, isHuge: Bool, isFixed: Bool, name: String?,
        payer: Account? = nil
    ) {
        let descriptor = file.number
        self.isHuge = isHuge
        self.name = name
        pointer = isFixed && !isHuge ? Self.map(descriptor, size, writable: isWritable) : nil
        guardedPointer = isHuge && isWritable ? Self.map(descriptor, size, writable: true) : nil
        backing = MemoryBacking(file, mapped: pointer ?? guardedPointer, length: size)
        // Huge pages come out of a pool of the system's own.
        self.payer = isHuge ? nil : payer
        super.init(size: size, isWritable: isWritable)
        guard pointer == nil, isWritable, self.payer != nil else { return }
        let reserved = mmap(nil, Int(size), PROT_NONE, MAP_SHARED, descriptor, 0)
        lookout = reserved == MAP_FAILED ? nil : reserved
    }

    /// Less is given back at once, in less than a millisecond.
    private static let givenBackAtOnce: UInt64 = 4 << 20
    /// Of the work that gives memory back: one after the other.
    private static let reclaimKey = UInt64.max - 1

    deinit {
        if let lookout { munmap(lookout, Int(size)) }
        guard let reclaimer, size > Self.givenBackAtOnce else { return backing.release() }
        reclaimer.perform(key: Self.reclaimKey) { [backing] in
            backing.release()
        } completion: { _ in
        }
    }

    /// Nil where the kernel refuses: it goes through the descriptor then.
    private static func map(_ descriptor: Int32, _ size: UInt64, writable: Bool) -> UnsafeMutableRawPointer? {
        var mapped: UnsafeMutableRawPointer?
        return clinux_map_file(descriptor, size, writable, &mapped) == 0 ? mapped : nil
    }

    // MARK: Making

    /// Takes a client's memfd.
    ///
    /// - Parameter payer: on whose account pages are that only the daemon's writes make; nil: on nobody's.
    /// - Throws: `EINVAL` for anything but a memfd with content that can be read.
    package static func importing(
        _ descriptor: consuming Descriptor, name: String?, payer: Account? = nil
    ) throws(IOMMUError) -> MemoryObject {
        let facts = try Facts(descriptor.number)
        return MemoryObject(
            descriptor, size: facts.size, isWritable: facts.isWritable, isHuge: facts.isHuge,
            isFixed: facts.seals & CLINUX_SEAL_SHRINK != 0, name: name, payer: payer
        )
    }

    /// A memfd of the daemon's own, of fixed size and filled with zeros.
    ///
    /// - Parameters:
    ///   - huge: made of huge pages; `size` is a multiple of theirs then.
    ///   - isReserved: with huge pages that it has from the beginning; else ``reserve(_:size:)`` has to come.
    /// - Throws: `EINVAL` for the size, `ENOMEM` if it cannot be had.
    package static func creating(
        size: UInt64, name: String?, huge: Bool, isReserved: Bool = true
    ) throws(IOMMUError) -> MemoryObject {
        guard size > 0, size <= UInt64(Int64.max) else {
            throw badSize(size)
        }
        let label = "iommud-" + String((name ?? "memory").prefix(64))
        let number = clinux_memfd_create(label, huge)
        guard number >= 0 else { throw refused(-number, size: size, huge: huge) }
        let descriptor = Descriptor(adopting: number)
        try fix(number, size: size, huge: huge, isReserved: isReserved)
        return MemoryObject(descriptor, size: size, isWritable: true, isHuge: huge, isFixed: true, name: name)
    }

    /// The same memfd once more. `EMFILE`.
    package func duplicateDescriptor() throws(IOMMUError) -> Descriptor {
        do throws(SystemError) {
            return try backing.duplicate()
        } catch {
            throw .noDescriptors
        }
    }

    /// Huge pages that nobody reserved may be missing when they are touched: has them now or says so. Takes seconds,
    /// for they are filled with zeros.
    ///
    /// - Returns: an errno, or 0.
    static func reserve(_ descriptor: Int32, size: UInt64) -> Int32 { posix_fallocate(descriptor, 0, Int(size)) }

    private static func fix(
        _ descriptor: Int32, size: UInt64, huge: Bool, isReserved: Bool
    ) throws(IOMMUError) {
        if huge {
            let pageSize = UInt64(clamping: clinux_block_size(descriptor))
            guard pageSize > 0, size % pageSize == 0 else {
                throw IOMMUError(
                    .EINVAL, .badSize,
                    "\(hexadecimal(size)) bytes are no whole huge pages of \(hexadecimal(pageSize)) bytes",
                    hint: "give a multiple of that, or create the memory without huge",
                    ["size": .hex(size), "page_size": .hex(pageSize)]
                )
            }
        }
        guard ftruncate(descriptor, Int(size)) == 0 else { throw refused(Glibc.errno, size: size, huge: huge) }
        if huge, isReserved {
            let result = reserve(descriptor, size: size)
            guard result == 0 else { throw refused(result, size: size, huge: true) }
        }
        let sealed = clinux_add_seals(descriptor, CLINUX_SEAL_SHRINK | CLINUX_SEAL_GROW)
        guard sealed == 0 else { throw refused(-sealed, size: size, huge: huge) }
    }

    static func refused(_ code: Int32, size: UInt64, huge: Bool) -> IOMMUError {
        switch code {
        case Glibc.EMFILE, Glibc.ENFILE:
            .noDescriptors
        case Glibc.EFBIG where !huge, Glibc.EINVAL where !huge:
            badSize(size)
        case _ where huge:
            IOMMUError(
                .ENOMEM, .noHugePages, "the system has not enough free huge pages for \(hexadecimal(size)) bytes",
                hint: "raise /proc/sys/vm/nr_hugepages, or create the memory without huge", ["size": .hex(size)]
            )
        default:
            IOMMUError(
                .ENOMEM, .noMemory, "the system has no memory for an object of \(hexadecimal(size)) bytes",
                hint: "close objects that are not needed, or give the daemon's unit more memory", ["size": .hex(size)])
        }
    }

    private static func badSize(_ size: UInt64) -> IOMMUError {
        IOMMUError(
            .EINVAL, .badSize, "no memory object can have \(hexadecimal(size)) bytes",
            hint: "give a size of at least one byte and less than 2^63", ["size": .hex(size)])
    }

    // MARK: Data

    /// Reads bytes for a client.
    ///
    /// - Throws: `EINVAL` outside the object, `EIO` where the file has been truncated.
    package func read(offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(IOMMUError) {
        try check(offset: offset, count: buffer.count)
        guard copyOut(offset: offset, into: buffer) else { throw truncated(offset) }
    }

    /// Writes bytes for a client.
    ///
    /// - Throws: `EINVAL` outside the object, `EPERM` if it is not writable, `EIO` where the file has been truncated.
    package func write(offset: UInt64, from buffer: UnsafeRawBufferPointer) throws(IOMMUError) {
        try check(offset: offset, count: buffer.count)
        guard isWritable else {
            throw IOMMUError(
                .EPERM, .memoryReadOnly,
                "\(span(UInt64(buffer.count), at: offset)) cannot be written: the memory object is read-only or sealed",
                hint: "import a descriptor that was opened O_RDWR, of a memfd without F_SEAL_WRITE",
                ["offset": .hex(offset), "length": .hex(UInt64(buffer.count))])
        }
        guard copyIn(offset: offset, from: buffer) else { throw truncated(offset) }
    }

    private func check(offset: UInt64, count: Int) throws(IOMMUError) {
        guard offset <= size, UInt64(count) <= size &- offset else {
            throw IOMMUError(
                .EINVAL, .outsideMemory,
                "\(span(UInt64(count), at: offset)) lie outside the memory object, which has \(hexadecimal(size))",
                hint: "keep offset + length within its size",
                ["offset": .hex(offset), "length": .hex(UInt64(count)), "size": .hex(size)]
            )
        }
    }

    private func truncated(_ offset: UInt64) -> IOMMUError {
        IOMMUError(
            .EIO, .memoryTruncated,
            "the file behind the memory object has been truncated, and has nothing at \(hexadecimal(offset)) any more",
            hint: "seal a memfd with F_SEAL_SHRINK before it is imported", ["offset": .hex(offset)])
    }

    /// False if a byte of it is not there.
    package func copyOut(offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
        guard offset <= size, UInt64(buffer.count) <= size &- offset, let target = buffer.baseAddress else {
            return buffer.isEmpty
        }
        // A load from a hole of a client's file would make a page of it, which a read does not.
        if let pointer, payer == nil {
            memcpy(target, pointer + Int(offset), buffer.count)
            return true
        }
        return transferAll(buffer.count) { done in
            Self.result(pread(descriptor, target + done, buffer.count - done, off_t(offset) + off_t(done)))
        }
    }

    /// False if a byte of it is not there or may not be written.
    package func copyIn(offset: UInt64, from buffer: UnsafeRawBufferPointer) -> Bool {
        guard offset <= size, UInt64(buffer.count) <= size &- offset, let source = buffer.baseAddress else {
            return buffer.isEmpty
        }
        guard isWritable else { return false }
        if let pointer {
            memcpy(pointer + Int(offset), source, buffer.count)
            return true
        }
        if let guardedPointer {
            return transferAll(buffer.count) {
                clinux_write_own_mapping(guardedPointer + Int(offset) + $0, source + $0, buffer.count - $0)
            }
        }
        // A write behind the end would make a truncated file grow again, with the client none the wiser.
        guard isBacked(upTo: offset &+ UInt64(buffer.count)) else { return false }
        return transferAll(buffer.count) { done in
            Self.result(pwrite(descriptor, source + done, buffer.count - done, off_t(offset) + off_t(done)))
        }
    }

    /// Whether the file still has all of these bytes.
    package func isPresent(offset: UInt64, length: UInt64) -> Bool {
        guard offset <= size, length <= size &- offset else { return false }
        return pointer != nil || isBacked(upTo: offset &+ length)
    }

    private func isBacked(upTo end: UInt64) -> Bool {
        var status = stat()
        return fstat(descriptor, &status) == 0 && UInt64(max(status.st_size, 0)) >= end
    }

    /// Bytes, or a negative errno.
    private static func result(_ count: Int) -> Int { count < 0 ? -Int(Glibc.errno) : count }

    /// Repeats a transfer until all bytes are through; it gets the number of bytes done.
    private func transferAll(_ count: Int, _ transfer: (Int) -> Int) -> Bool {
        var done = 0
        while done < count {
            let result = transfer(done)
            if result > 0 {
                done += result
            } else if result != -Int(EINTR) {
                return false
            }
        }
        return true
    }
}
