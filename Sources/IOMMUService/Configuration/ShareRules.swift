/// How much one user may hold of what is everybody's: `limits.share` and `[[share]]`.
package struct ShareRules: Sendable, Equatable {
    /// Of users without a rule of their own; 1 is all.
    package var fraction = 0.5
    /// By uid.
    package var byUser: [UInt32: Double] = [:]

    /// The defaults.
    package init() {}

    /// The part of each pool that a user may hold.
    package func fraction(of uid: UInt32) -> Double { byUser[uid] ?? fraction }

    /// Reads one `[[share]]`.
    mutating func add(_ section: inout ConfigurationSection) throws(ConfigurationError) {
        let number = try section.integer("uid", in: 0...Int(UInt32.max - 1)).map { UInt32($0) }
        let named: UInt32? =
            if let user = try section.name("user") { try AllowRules.uid(of: user, in: section) } else { nil }
        guard let uid = number ?? named, number == nil || named == nil else {
            throw section.error("uid", "the share is not for one user", remedy: "give either uid or user")
        }
        guard let share = try section.fraction("share") else { throw section.missing("share") }
        guard byUser.updateValue(share, forKey: uid) == nil else {
            throw section.error("uid", "user \(uid) has a share already", remedy: "keep one of the two")
        }
        try section.finish()
    }
}
