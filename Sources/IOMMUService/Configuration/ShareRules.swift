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
    mutating func add(_ section: inout ConfigurationSection) {
        defer { section.finish() }
        let number = section.integer("uid", in: 0...Int(UInt32.max - 1)).map { UInt32($0) }
        let named = section.name("user").flatMap { AllowRules.uid(of: $0, in: section) }
        guard section.isThere("uid") != section.isThere("user") else {
            return section.note("uid", "the share is not for one user", remedy: "give either uid or user")
        }
        let read = section.fraction("share") ?? section.missing("share")
        guard let share = read, let uid = number ?? named else { return }
        guard byUser.updateValue(share, forKey: uid) == nil else {
            return section.note("uid", "user \(uid) has a share already", remedy: "keep one of the two")
        }
    }
}
