import Glibc

/// The structure that an ioctl of iommufd or vfio points at, by the kernel's rules for structures that grow.
struct IOCTLArgument {
    let memory: ThreadMemory
    let address: UInt64
    /// The fields that this knows; those that the program does not know are 0.
    var fields: ArgumentBytes
    /// Bytes that the program has for it.
    let programSize: Int

    /// More than any structure that will ever be.
    private static let largest = 64 << 10

    /// `copy_struct_from_user`: what is shorter is filled up with zeros, what is longer may hold nothing else there.
    ///
    /// - Throws: `EINVAL` below `minimum`, `E2BIG` for a tail that is not zero, `EFAULT`.
    init(iommufd memory: ThreadMemory, _ address: UInt64, size: Int, minimum: Int) throws(Refusal) {
        (self.memory, self.address) = (memory, address)
        programSize = Int(try memory.word32(address))
        guard programSize >= minimum else { throw Refusal(EINVAL) }
        guard programSize <= Self.largest else { throw Refusal(E2BIG) }
        let bytes = try memory.read(address, count: programSize)
        guard bytes.dropFirst(size).allSatisfy({ $0 == 0 }) else { throw Refusal(E2BIG) }
        let known = bytes.prefix(size)
        fields = ArgumentBytes(known + [UInt8](repeating: 0, count: size - known.count))
    }

    /// vfio's way: `argsz` has to be large enough, what lies behind is not looked at.
    init(vfio memory: ThreadMemory, _ address: UInt64, size: Int, minimum: Int) throws(Refusal) {
        (self.memory, self.address) = (memory, address)
        programSize = Int(try memory.word32(address))
        guard programSize >= minimum else { throw Refusal(EINVAL) }
        let bytes = try memory.read(address, count: min(programSize, size))
        fields = ArgumentBytes(bytes + [UInt8](repeating: 0, count: size - bytes.count))
    }

    /// Writes the fields back, as far as the program knows them.
    func respond() throws(Refusal) {
        try memory.write(address, Array(fields.bytes.prefix(programSize)))
    }

    // MARK: Fields

    subscript(word32 offset: Int) -> UInt32 {
        get { fields[word32: offset] }
        set { fields[word32: offset] = newValue }
    }

    subscript(word64 offset: Int) -> UInt64 {
        get { fields[word64: offset] }
        set { fields[word64: offset] = newValue }
    }

    subscript(word16 offset: Int) -> UInt16 { fields[word16: offset] }

    /// Flags and what has to be zero: `EOPNOTSUPP`.
    func require(_ offset: Int, only known: UInt32 = 0, errno: Int32 = EOPNOTSUPP) throws(Refusal) {
        guard self[word32: offset] & ~known == 0 else { throw Refusal(errno) }
    }
}
