/// The names of SMMUs, devices, groups and drivers, wherever they come from: 1 to 64 letters, digits and `. _ : -`.
///
/// They end up in the journal and in metrics, where no client may put a line of its own.
package enum TopologyName {
    /// The rule as a regular expression, for documentation.
    package static let expression = "^[0-9A-Za-z._:-]{1,64}$"

    /// What a person is told who wrote something else.
    package static let remedy = "use 1 to 64 letters, digits, dots, colons, _ and -"

    /// Whether the bytes are such a name.
    package static func isValid(_ name: some Collection<UInt8>) -> Bool {
        (1...64).contains(name.count)
            && name.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2e, 0x5f, 0x3a, 0x2d: true
                default: false
                }
            }
    }
}
