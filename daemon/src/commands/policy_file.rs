//! The policy file, read.

use std::fs;
use std::path::Path;

use luasocketd::core::policy::Policy;
use luasocketd::shell::SystemAccounts;

/// Reads a policy; the error says which file and what is wrong with it.
pub fn read_policy(path: &Path) -> Result<Policy, String> {
    let text = fs::read_to_string(path)
        .map_err(|error| format!("cannot read the policy file {}: {error}", path.display()))?;
    Policy::from_toml(&path.display().to_string(), &text, &SystemAccounts).map_err(|error| error.to_string())
}
