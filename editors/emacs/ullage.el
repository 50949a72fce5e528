;;; ullage.el --- Conversations with local language models  -*- lexical-binding: t; -*-

;; Author: The Ullage authors
;; Version: 0.1.0
;; Package-Requires: ((emacs "28.1"))
;; Keywords: tools, convenience

;; SPDX-License-Identifier: MIT

;;; Commentary:

;; Ullage is a language server that keeps conversations with local language
;; models inside the memory that the machine has.  With `ullage-mode' on, the
;; mode line shows how full the window of the present file's project is, and
;;
;;   M-x ullage-command   takes every line that `ullage chat' knows
;;   M-x ullage-chat      opens the conversation in a buffer
;;
;; The connection is one of its own, made of the library that Eglot is made
;; of, jsonrpc.el.  Eglot gives a buffer one server, chosen by its project and
;; its mode; a conversation belongs to the project alone and has to be there
;; beside the language's own server.  So the buffers that Eglot manages stay as
;; they are, and those that it does not manage are served as well.

;;; Code:

(require 'project)
(require 'subr-x)
(require 'ullage-connection)
(require 'ullage-notices)

(defface ullage-high '((t :inherit warning))
  "The status of a window that is filling."
  :group 'ullage)

(defface ullage-critical '((t :inherit error))
  "The status of a window that is nearly full."
  :group 'ullage)

(defvar ullage--working nil
  "The title of the long work that goes on, as the server names it.")

(defvar ullage--contexts (make-hash-table :test #'equal)
  "Ids of contexts, by folder.")

(defvar ullage--statuses (make-hash-table :test #'equal)
  "What the server has told of contexts last, by their ids.")

(defvar ullage--entered nil
  "The folder whose context is the active one.")

(defvar-local ullage--context nil
  "The id of the context that this buffer shows.")

(defvar-local ullage--folder nil
  "The folder that this buffer belongs to.")

(defun ullage--folder-here ()
  "The folder of the present buffer: its project's, else its own."
  (when (file-remote-p default-directory)
    (user-error "Conversations are kept for folders of this machine; go to a file here first"))
  (or ullage--folder
      (setq ullage--folder
            (let ((project (project-current nil)))
              (expand-file-name
               (if project (project-root project) default-directory))))))

(defun ullage--first-folder ()
  "The folder that the server is started for: the active one, else this one."
  (or ullage--entered (ullage--folder-here)))

(defun ullage--id ()
  "The id of the present buffer's context, nil where it was never opened."
  (or ullage--context
      (gethash (or ullage--folder ullage--entered) ullage--contexts)))

(defun ullage--open (folder done)
  "Open the main context of FOLDER and call DONE with its id."
  (ullage--request
   :context/open (list :workspaceUri (ullage--uri folder))
   (lambda (context failure)
     (if failure
         (ullage--failed failure)
       (unless (gethash folder ullage--contexts)
         (puthash folder (plist-get context :id) ullage--contexts))
       (force-mode-line-update t)
       (funcall done (gethash folder ullage--contexts))))))

(defun ullage--with-id (done)
  "Call DONE with the id of the present buffer's context."
  (let ((id (or ullage--context
                (gethash (ullage--folder-here) ullage--contexts))))
    (if id
        (funcall done id)
      (ullage--open (ullage--folder-here) done))))

(defun ullage--use (folder id)
  "From now on the conversation of FOLDER is ID."
  (puthash folder id ullage--contexts)
  (force-mode-line-update t))

(defun ullage--about (id method params done)
  "Send METHOD with PARAMS, which are about the context ID, and call DONE.
Where another editor writes that context, the person may take it over."
  (ullage--request
   method params
   (lambda (result failure)
     (if (equal (ullage--get failure :data :reason) "elsewhere")
         (run-at-time 0 nil #'ullage--offer-takeover
                      id failure done
                      (lambda () (ullage--request method params done)))
       (funcall done result failure)))))

(defun ullage--offer-takeover (id failure done again)
  "Ask whether to take the context ID over, of which FAILURE is the reason.
AGAIN is called when that is done, else DONE with what prevents it."
  (if (not (ullage--ask-person
            #'y-or-n-p (concat (plist-get failure :message) "  Take it over? ")))
      (funcall done nil failure)
    (ullage--request
     :context/status (list :contextId id)
     (lambda (status refused)
       (if refused
           (funcall done nil refused)
         (ullage--request
          :context/open
          (list :workspaceUri (ullage--get status :context :workspaceUri)
                :name (ullage--get status :context :name)
                :takeOver t)
          (lambda (_ refused)
            (if refused (funcall done nil refused) (funcall again)))))))))

(defun ullage--add (folder)
  "Tell the server of FOLDER."
  (jsonrpc-notify ullage--connection :workspace/didChangeWorkspaceFolders
                  (list :event (list :added (vector (ullage--folder-item folder))
                                     :removed []))))

(defun ullage--enter (folder)
  "Make the context of FOLDER the active one."
  (setq ullage--entered folder)
  (if-let ((id (gethash folder ullage--contexts)))
      (ullage--request :context/switch (list :contextId id) #'ignore)
    (when ullage--ready
      (ullage--add folder))
    (ullage--open folder #'ignore)))

(defun ullage--follow (&rest _)
  "Have the active context be that of the file in the selected window."
  (with-current-buffer (window-buffer)
    (when (and buffer-file-name (not (file-remote-p default-directory))
               (not (equal (ullage--folder-here) ullage--entered)))
      (condition-case failure
          (ullage--enter ullage--folder)
        (error (message "Ullage: %s" (error-message-string failure)))))))

(defun ullage--return (_connection)
  "Tell a server that was started again of all folders, and go to the last."
  (maphash (lambda (folder _) (ullage--add folder)) ullage--contexts)
  (when-let ((id (gethash ullage--entered ullage--contexts)))
    (ullage--request :context/switch (list :contextId id) #'ignore)
    (ullage--request :context/status (list :contextId id)
                     (lambda (status _)
                       (when status
                         (ullage--hear-status status))))))

(defun ullage--forget-statuses ()
  "Nothing is known while there is no server."
  (setq ullage--working nil)
  (clrhash ullage--statuses)
  (force-mode-line-update t))

(defun ullage--forget-erased (params failure)
  "Where FAILURE is that the context of PARAMS is gone, forget whose it was."
  (when (equal (ullage--get failure :data :kind) "unknownContext")
    (let ((id (plist-get (or (seq-first (plist-get params :arguments)) params)
                         :contextId)))
      (maphash (lambda (folder known)
                 (when (equal known id)
                   (remhash folder ullage--contexts)))
               ullage--contexts))))

(defun ullage--hear-status (status)
  "Keep STATUS for the mode line."
  (puthash (ullage--get status :context :id) status ullage--statuses)
  (force-mode-line-update t))

(defun ullage--hear-progress (params)
  "Show in the mode line what the server is busy with, as PARAMS tell."
  (pcase (ullage--get params :value :kind)
    ("begin" (setq ullage--working (ullage--get params :value :title)))
    ("end" (setq ullage--working nil)))
  (force-mode-line-update t))

(setf (alist-get 'context/statusChanged ullage--hearers) #'ullage--hear-status
      (alist-get '$/progress ullage--hearers) #'ullage--hear-progress)
(add-hook 'ullage--start-functions #'ullage--return)
(add-hook 'ullage--refusal-functions #'ullage--forget-erased)
(add-hook 'ullage--end-functions #'ullage--forget-statuses)

(defun ullage-mode-line ()
  "How full the window of the present buffer's context is."
  (let* ((status (gethash (ullage--id) ullage--statuses))
         (text (cond ((null ullage--connection) "Ullage: no server")
                     (ullage--working (concat ullage--working "…"))
                     (t (plist-get status :text))))
         (face (pcase (plist-get status :warning)
                 ("high" 'ullage-high)
                 ("critical" 'ullage-critical))))
    (when text
      (setq text (string-replace "%" "%%" text))
      (if face (propertize text 'face face) text))))

(defconst ullage--mode-line-item '(" " (:eval (ullage-mode-line)) " ")
  "What stands in the mode line.")

;;;###autoload
(define-minor-mode ullage-mode
  "Show in the mode line how full the window of each project's context is."
  :global t
  :group 'ullage
  (let ((hooks '(window-selection-change-functions
                 window-buffer-change-functions)))
    (setq mode-line-misc-info
          (remove ullage--mode-line-item mode-line-misc-info))
    (if (not ullage-mode)
        (dolist (hook hooks)
          (remove-hook hook #'ullage--follow))
      (push ullage--mode-line-item mode-line-misc-info)
      (dolist (hook hooks)
        (add-hook hook #'ullage--follow))
      (ullage--follow))))

(require 'ullage-lines)
(require 'ullage-chat)

(provide 'ullage)
;;; ullage.el ends here
