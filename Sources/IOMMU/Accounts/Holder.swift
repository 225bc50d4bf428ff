/// Who holds something that others ask for.
package struct Holder: Sendable, Equatable {
    /// Its session, and whose it is.
    package let name: String
    /// Its user.
    package let uid: UInt32

    /// - Parameter name: its session, and whose it is.
    package init(_ name: String, uid: UInt32) { (self.name, self.uid) = (name, uid) }

    /// What somebody may know of it: what others call their sessions, and which processes they have, is for
    /// administrators.
    package func text(for uid: UInt32, isAdministrator: Bool) -> String {
        isAdministrator || uid == self.uid ? name : "a session of user \(self.uid)"
    }

    /// As ``text(for:isAdministrator:)``, for the user of an account.
    package func text(for account: Account) -> String {
        text(for: account.uid, isAdministrator: account.isAdministrator)
    }
}
