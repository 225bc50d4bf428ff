/// `[[allow]]`: who may bind which device.
enum AllowRules {
    /// Reads one rule. It is for whoever fits any of its keys; without any, for everybody.
    static func rule(_ section: inout ConfigurationSection) throws(ConfigurationError) -> AccessPolicy.Rule {
        var rule = AccessPolicy.Rule()
        let ids = 0...Int(UInt32.max - 1)
        if let uid = try section.integer("uid", in: ids) { rule.uids.insert(UInt32(uid)) }
        if let gid = try section.integer("gid", in: ids) { rule.gids.insert(UInt32(gid)) }
        if let user = try section.name("user") { rule.uids.insert(try uid(of: user, in: section)) }
        if let group = try section.name("group") { rule.gids.insert(try gid(of: group, in: section)) }
        rule.devices = try section.strings("devices") ?? ["*"]
        guard !rule.devices.isEmpty else {
            throw section.error("devices", "the rule is for no device", remedy: "name one, or write [\"*\"] for all")
        }
        try section.finish()
        return rule
    }

    static func uid(
        of user: String, in section: ConfigurationSection
    ) throws(ConfigurationError) -> UInt32 {
        guard let uid = UserDatabase.uid(ofUser: user) else {
            throw section.error(
                "user", "this machine has no user “\(user)”", remedy: "create it, or give its number as uid")
        }
        return uid
    }

    private static func gid(
        of group: String, in section: ConfigurationSection
    ) throws(ConfigurationError) -> UInt32 {
        guard let gid = UserDatabase.gid(ofGroup: group) else {
            throw section.error(
                "group", "this machine has no group “\(group)”", remedy: "create it, or give its number as gid")
        }
        return gid
    }
}
