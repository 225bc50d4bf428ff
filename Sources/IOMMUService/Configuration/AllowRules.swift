/// `[[allow]]`: who may bind which device.
enum AllowRules {
    /// Reads one rule. It is for whoever fits any of its keys; without any, for everybody.
    static func rule(_ section: inout ConfigurationSection) -> AccessPolicy.Rule {
        var rule = AccessPolicy.Rule()
        let ids = 0...Int(UInt32.max - 1)
        if let uid = section.integer("uid", in: ids) { rule.uids.insert(UInt32(uid)) }
        if let gid = section.integer("gid", in: ids) { rule.gids.insert(UInt32(gid)) }
        if let uid = section.name("user").flatMap({ Self.uid(of: $0, in: section) }) { rule.uids.insert(uid) }
        if let gid = section.name("group").flatMap({ Self.gid(of: $0, in: section) }) { rule.gids.insert(gid) }
        // Without the key, too: that everybody may have everything is to be said, not forgotten.
        let devices = section.isThere("devices") ? section.strings("devices") : []
        if devices?.isEmpty == true {
            section.note("devices", "the rule is for no device", remedy: "name one, or write [\"*\"] for all")
        }
        rule.devices = devices ?? []
        section.finish()
        return rule
    }

    static func uid(
        of user: String, in section: ConfigurationSection
    ) -> UInt32? {
        guard let uid = UserDatabase.uid(ofUser: user) else {
            section.note(
                "user", "this machine has no user “\(user)”", remedy: "create it, or give its number as uid")
            return nil
        }
        return uid
    }

    private static func gid(
        of group: String, in section: ConfigurationSection
    ) -> UInt32? {
        guard let gid = UserDatabase.gid(ofGroup: group) else {
            section.note(
                "group", "this machine has no group “\(group)”", remedy: "create it, or give its number as gid")
            return nil
        }
        return gid
    }
}
