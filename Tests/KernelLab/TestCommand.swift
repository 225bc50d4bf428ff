import KernelIOMMU
import LinuxIO

/// `IOMMU_TEST_CMD` of a kernel with CONFIG_IOMMUFD_TEST (drivers/iommu/iommufd/iommufd_test.h): 72 bytes of which the
/// first 16 are the same for every operation.
struct TestCommand {
    static let number: UInt = 0x3ba0
    private static let size = 72

    /// The operations that are used here.
    enum Operation: UInt32 {
        case mockDomainReplace = 10
        case mockDomainFlags = 12
        case pasidAttach = 18
        case pasidReplace = 19
        case pasidDetach = 20
    }

    private var words = [UInt32](repeating: 0, count: TestCommand.size / 4)

    /// - Parameter arguments: the words of the operation's own part.
    init(_ operation: Operation, id: UInt32, _ arguments: [UInt32]) {
        (words[0], words[1], words[2]) = (UInt32(Self.size), operation.rawValue, id)
        for (index, word) in arguments.enumerated() { words[4 + index] = word }
    }

    /// A word of the operation's own part.
    subscript(index: Int) -> UInt32 { words[4 + index] }

    /// Makes the call.
    mutating func perform(by handle: KernelHandle) throws(KernelFailure) {
        let errno = words.withUnsafeMutableBytes { bytes in
            bytes.baseAddress.map { handle.calls.control(handle.file.number, Self.number, $0) } ?? 0
        }
        guard errno == 0 else { throw KernelFailure(errno, of: IOMMUFD.hwptAlloc) }
    }
}
