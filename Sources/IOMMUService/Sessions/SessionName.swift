import IOMMU

/// `[A-Za-z0-9._-]{1,64}`, unique per user.
package struct SessionName: Hashable, Sendable {
    /// The name.
    package let text: String

    /// `EINVAL` for what is no name.
    package init(_ text: String) throws(IOMMUError) {
        guard (1...64).contains(text.utf8.count), text.utf8.allSatisfy(Self.isAllowed) else {
            throw IOMMUError(
                .EINVAL, .badSessionName, "“\(text.prefix(64))” is no name of a session",
                hint: "choose one of 1 to 64 of the characters A-Z a-z 0-9 . _ -"
            )
        }
        self.text = text
    }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default:
            false
        }
    }
}
