/// Numbers as people write them.
enum Amount {
    private static let units = Array("KMGTPE")

    /// `4096`, `65_536`, `0x1000`, `64K`, `64 KiB`, `1.5`: nil; a unit is a power of 1,024.
    static func parse(_ text: String) -> UInt64? {
        let digits = text.filter { $0 != "_" }
        if digits.hasPrefix("0x") || digits.hasPrefix("0X") { return UInt64(digits.dropFirst(2), radix: 16) }
        let number = digits.prefix { $0.isASCII && $0.isNumber }
        guard let value = UInt64(number) else { return nil }
        var unit = digits.dropFirst(number.count).drop { $0 == " " }.uppercased()
        if unit.isEmpty || unit == "B" { return value }
        if unit.count == 3, unit.hasSuffix("IB") { unit.removeLast(2) }
        guard unit.count == 1, let first = unit.first, let power = units.firstIndex(of: first) else { return nil }
        let (product, overflows) = value.multipliedReportingOverflow(by: 1 << UInt64(10 * (power + 1)))
        return overflows ? nil : product
    }

    /// About so many bytes: `1.5 GiB`.
    static func rounded(_ value: UInt64) -> String {
        let power = min(value < 2 ? 0 : (63 - value.leadingZeroBitCount) / 10, units.count)
        guard power > 0 else { return "\(value) B" }
        let tenths = Int((Double(value) / Double(1 << UInt64(10 * power)) * 10).rounded())
        return "\(tenths / 10)" + (tenths % 10 == 0 ? "" : ".\(tenths % 10)") + " \(units[power - 1])iB"
    }

    /// Bytes in the largest unit that divides them: `64 KiB`, `4097`.
    static func bytes(_ value: UInt64) -> String {
        guard value >= 1024, value.trailingZeroBitCount >= 10 else { return "\(value) B" }
        let power = min(value.trailingZeroBitCount / 10, (63 - value.leadingZeroBitCount) / 10)
        return "\(value >> UInt64(10 * power)) \(units[power - 1])iB"
    }
}
