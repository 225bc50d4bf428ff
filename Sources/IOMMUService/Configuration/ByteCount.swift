/// Numbers of bytes as people write them.
enum ByteCount {
    private static let units = ["B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40, "PiB": 50]

    /// Reads `4096`, `"64 GiB"` or `"64GiB"`; nil for anything else and for what does not fit.
    static func parse(_ text: String) -> Int? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit = text.dropFirst(digits.count).drop { $0 == " " }
        guard let number = Int(digits), let shift = units[unit.isEmpty ? "B" : String(unit)] else { return nil }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
        return overflow ? nil : bytes
    }
}
