import IOMMU

/// Moves the data of one piece whose addresses lie in memory objects.
struct WindowTransfer {
    let machine: Machine
    let source: [DeviceAccess.Segment]
    let target: [DeviceAccess.Segment]

    /// - Parameter previous: the checksum of the pieces before.
    /// - Returns: what was read and the checksum so far; nil if memory has vanished.
    func perform(_ piece: DeviceOperation, previous: UInt32?) -> (bytes: [UInt8], checksum: UInt32?)? {
        switch piece {
        case .read:
            return gather().map { ($0, nil) }
        case .checksum:
            guard let bytes = gather() else { return nil }
            var checksum = CRC32(previous ?? 0)
            bytes.withUnsafeBytes { checksum.update($0) }
            return ([], checksum.value)
        case .write(_, let bytes):
            return scatter(bytes) ? ([], nil) : nil
        case .fill(_, let length, let value):
            return scatter([UInt8](repeating: value, count: Int(length))) ? ([], nil) : nil
        case .copy:
            guard let bytes = gather() else { return nil }
            return scatter(bytes) ? ([], nil) : nil
        }
    }

    private func gather() -> [UInt8]? {
        let count = source.reduce(0) { $0 + Int($1.length) }
        var isComplete = true
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            var done = 0
            for segment in source where isComplete {
                let range = done..<done + Int(segment.length)
                let part = UnsafeMutableRawBufferPointer(UnsafeMutableBufferPointer(rebasing: buffer[range]))
                isComplete = machine.read(segment.address, into: part)
                done += part.count
            }
            initialized = isComplete ? count : 0
        }
        return isComplete ? bytes : nil
    }

    /// Checks that all of the target is there before the first byte is written.
    private func scatter(_ bytes: [UInt8]) -> Bool {
        guard target.allSatisfy({ machine.canWrite($0.address, length: $0.length) }) else { return false }
        return bytes.withUnsafeBytes { bytes in
            var done = 0
            return target.allSatisfy { segment in
                let part = UnsafeRawBufferPointer(rebasing: bytes[done..<done + Int(segment.length)])
                done += part.count
                return machine.write(segment.address, from: part)
            }
        }
    }
}
