import Glibc

/// Finds a method by the bytes of its name: open addressing over a hash of length, head and tail.
struct MethodIndex {
    private struct Name {
        let text: UnsafePointer<UInt8>
        let length: Int
    }

    private let names: UnsafeMutablePointer<Name>
    private let buckets: UnsafeMutablePointer<Int32>
    private let mask: Int

    init(_ methods: [MethodDeclaration]) {
        let size = 4 << (Int.bitWidth - max(1, methods.count).leadingZeroBitCount)
        mask = size - 1
        names = .allocate(capacity: max(1, methods.count))
        buckets = .allocate(capacity: size)
        buckets.initialize(repeating: -1, count: size)
        for (index, method) in methods.enumerated() {
            let name = Name(text: method.name.utf8Start, length: method.name.utf8CodeUnitCount)
            (names + index).initialize(to: name)
            var bucket = Self.hash(name.text, name.length) & mask
            while buckets[bucket] >= 0 { bucket = (bucket + 1) & mask }
            buckets[bucket] = Int32(index)
        }
    }

    func deallocate() {
        names.deallocate()
        buckets.deallocate()
    }

    /// The method called so, -1 if there is none.
    @inline(__always)
    func find(_ text: UnsafePointer<UInt8>, _ length: Int) -> Int {
        var bucket = Self.hash(text, length) & mask
        while buckets[bucket] >= 0 {
            let index = Int(buckets[bucket])
            if names[index].length == length, memcmp(names[index].text, text, length) == 0 { return index }
            bucket = (bucket &+ 1) & mask
        }
        return -1
    }

    @inline(__always)
    private static func hash(_ text: UnsafePointer<UInt8>, _ length: Int) -> Int {
        var hash = UInt64(truncatingIfNeeded: length) &* 0x9e37_79b9_7f4a_7c15
        let bytes = UnsafeRawPointer(text)
        if length >= 8 {
            hash ^= bytes.loadUnaligned(as: UInt64.self) &* 0xff51_afd7_ed55_8ccd
            hash ^= bytes.loadUnaligned(fromByteOffset: length &- 8, as: UInt64.self) &* 0xc4ce_b9fe_1a85_ec53
        } else {
            for index in 0..<length { hash = (hash ^ UInt64(text[index])) &* 0x100_0000_01b3 }
        }
        return Int(truncatingIfNeeded: hash &>> 32)
    }
}
