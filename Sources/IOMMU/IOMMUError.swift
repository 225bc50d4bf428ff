import LinuxIO

/// One refusal, from the place where the rule lives to the wire.
///
/// The thrower fills all of it; layers above may add objects with ``with(_:_:)`` but never change `errno` or `reason`.
package struct IOMMUError: Error, Sendable {
    /// What a client gets to see of an object that is involved in a refusal.
    package enum Value: Sendable, Equatable {
        /// A plain integer: object ids, PASIDs, StreamIDs, counts.
        case number(UInt64)
        /// An address, a length of an address range or a register word; a `"0x…"` string on the wire.
        case hex(UInt64)
        /// Yes or no.
        case flag(Bool)
        /// A name.
        case text(String)
        /// A list of register or record words, each a `"0x…"` string on the wire.
        case words([UInt64])
        /// A nested object with named members, in order.
        case object([Member])
    }

    /// A named object: the key in `error.data` and its value.
    package struct Member: Sendable, Equatable {
        /// Its name in `error.data`.
        package let key: String
        /// What a client gets to see.
        package let value: Value

        /// With these properties.
        package init(_ key: String, _ value: Value) {
            self.key = key
            self.value = value
        }
    }

    /// Same mistake, same errno as in the Linux iommufd uAPI.
    package let errno: Errno
    /// Why, for programs.
    package let reason: Reason
    /// One sentence for a person: what was refused and why.
    package let message: String
    /// What to do about it.
    package let hint: String
    /// The objects involved.
    package private(set) var members: [Member]

    /// With these properties.
    package init(
        _ errno: Errno, _ reason: Reason, _ message: String, hint: String,
        _ members: KeyValuePairs<String, Value> = [:]
    ) {
        self.errno = errno
        self.reason = reason
        self.message = message
        self.hint = hint
        self.members = members.map { Member($0.key, $0.value) }
    }

    /// The same refusal with one more object named; the innermost thrower wins where the key is already there.
    package func with(_ key: String, _ value: Value) -> IOMMUError {
        guard !members.contains(where: { $0.key == key }) else { return self }
        var copy = self
        copy.members.append(Member(key, value))
        return copy
    }

    /// As ``with(_:_:)``, for several.
    package func with(_ members: [Member]) -> IOMMUError {
        members.reduce(self) { $0.with($1.key, $1.value) }
    }
}
